// A word count in Kafka Streams, exactly once: java WordCount bootstrap application-id state-folder
//
// Counts the words of "<application-id>-lines" and writes every single step of every count to "<application-id>-counts",
// so that a reader can see a step that is missing and one that is there twice. Prints each of its states on a line of
// its own and ends when its standard input does.

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Produced;

public final class WordCount {
    private static final int CLOSE_SECONDS_MAX = 20;

    public static void main(String[] arguments) throws Exception {
        String application = arguments[1];
        KafkaStreams streams = new KafkaStreams(counting(application).build(), settings(arguments));
        streams.setStateListener((now, before) -> System.out.println(now));
        // A thread that met an error it cannot live with is replaced, as people do who run this for real: the new one
        // begins at the last commit.
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        while (System.in.read() >= 0) {
            continue;
        }
        System.exit(streams.close(Duration.ofSeconds(CLOSE_SECONDS_MAX)) ? 0 : 1);
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, "2");
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "100");
        // With a cache, a reader would see only the last count of each commit.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), "10000");
        settings.put("reconnect.backoff.max.ms", "200");
        return settings;
    }

    private static StreamsBuilder counting(String application) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(application + "-lines", Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count()
            .toStream()
            .to(application + "-counts", Produced.with(Serdes.String(), Serdes.Long()));
        return builder;
    }
}
