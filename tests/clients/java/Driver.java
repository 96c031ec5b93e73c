// Driver of the Java client; see tests/clients/PROTOCOL.md.
//
// Compiled once against each release of the client, from 2.8 to the newest, so it calls only what all of them have.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Driver {
    private static final long WAIT_SECONDS_MAX = 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    private interface Operation {
        JsonNode run(JsonNode request) throws Exception;
    }

    private interface Condition {
        boolean holds();
    }

    private final String bootstrap;
    private final Admin admin;
    private final Map<String, Operation> operations = new TreeMap<>();

    private Driver(String bootstrap) throws Exception {
        this.bootstrap = bootstrap;
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("default.api.timeout.ms", "20000");
        settings.put("request.timeout.ms", "15000");
        admin = Admin.create(settings);
        operations.put("create_topic", this::createTopic);
        operations.put("list_topics", this::listTopics);
        operations.put("describe_topic", this::describeTopic);
        operations.put("describe_configs", this::describeConfigs);
        operations.put("alter_configs", this::alterConfigs);
        operations.put("create_partitions", this::createPartitions);
        operations.put("delete_records", this::deleteRecords);
        operations.put("delete_topic", this::deleteTopic);
        operations.put("produce", this::produce);
        operations.put("consume", this::consume);
        operations.put("consume_committed", this::consumeCommitted);
        operations.put("transaction", this::transaction);
        operations.put("consume_from_time", this::consumeFromTime);
        operations.put("group_of_two", this::groupOfTwo);
        operations.put("consume_group", this::consumeGroup);
        operations.put("committed", this::committed);
        operations.put("describe_group", this::describeGroup);
        operations.put("list_groups", this::listGroups);
        operations.put("delete_group", this::deleteGroup);
        if (Integer.parseInt(version().split("\\.")[0]) >= 4) {
            operations.put("group_of_two_848", request -> groupOfTwo(request, "consumer"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        System.setOut(System.err);
        Driver driver = new Driver(arguments[0]);
        out.println(driver.greeting());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(driver.answer(JSON.readTree(line)));
        }
        driver.admin.close(Duration.ofSeconds(1));
        System.exit(0);
    }

    private JsonNode greeting() throws Exception {
        ObjectNode greeting = JSON.createObjectNode();
        greeting.put("client", "Java client " + version());
        greeting.set("codecs", JSON.valueToTree(Arrays.asList("none", "gzip", "snappy", "lz4", "zstd")));
        greeting.set("can", JSON.valueToTree(operations.keySet()));
        greeting.set("lacks", JSON.createObjectNode());
        return greeting;
    }

    private JsonNode answer(JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            answer.set("ok", operations.get(request.get("op").asText()).run(request));
        } catch (Exception error) {
            error.printStackTrace();
            Throwable cause = error.getCause() != null ? error.getCause() : error;
            answer.put("error", cause.toString());
        }
        return answer;
    }

    // --- topics ------------------------------------------------------------------------------------------------

    private JsonNode createTopic(JsonNode request) throws Exception {
        NewTopic topic = new NewTopic(topicOf(request), request.get("partitions").asInt(), (short) 1);
        await(admin.createTopics(List.of(topic.configs(strings(request.get("configs"))))).all());
        return nothing();
    }

    private JsonNode listTopics(JsonNode request) throws Exception {
        ObjectNode answer = nothing();
        answer.set("topics", JSON.valueToTree(await(admin.listTopics().names())));
        return answer;
    }

    private JsonNode describeTopic(JsonNode request) throws Exception {
        ObjectNode answer = nothing();
        answer.put("partitions", partitionsOf(topicOf(request)).size());
        return answer;
    }

    private JsonNode describeConfigs(JsonNode request) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, topicOf(request));
        ObjectNode configs = nothing();
        for (ConfigEntry entry : await(admin.describeConfigs(List.of(topic)).all()).get(topic).entries()) {
            configs.put(entry.name(), entry.value());
        }
        ObjectNode answer = nothing();
        answer.set("configs", configs);
        return answer;
    }

    private JsonNode alterConfigs(JsonNode request) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, topicOf(request));
        List<AlterConfigOp> changes = new ArrayList<>();
        strings(request.get("configs")).forEach((name, value) ->
            changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        await(admin.incrementalAlterConfigs(Map.of(topic, changes)).all());
        return nothing();
    }

    private JsonNode createPartitions(JsonNode request) throws Exception {
        NewPartitions wanted = NewPartitions.increaseTo(request.get("count").asInt());
        await(admin.createPartitions(Map.of(topicOf(request), wanted)).all());
        return nothing();
    }

    private JsonNode deleteRecords(JsonNode request) throws Exception {
        Map<TopicPartition, RecordsToDelete> before = new HashMap<>();
        strings(request.get("before")).forEach((partition, offset) ->
            before.put(new TopicPartition(topicOf(request), Integer.parseInt(partition)),
                RecordsToDelete.beforeOffset(Long.parseLong(offset))));
        await(admin.deleteRecords(before).all());
        return nothing();
    }

    private JsonNode deleteTopic(JsonNode request) throws Exception {
        await(admin.deleteTopics(List.of(topicOf(request))).all());
        return nothing();
    }

    // --- records -----------------------------------------------------------------------------------------------

    private JsonNode produce(JsonNode request) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", request.get("codec").asText());
        settings.put("enable.idempotence", request.get("idempotent").asText());
        settings.put("acks", "all");
        settings.put("linger.ms", "20");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        ArrayNode offsets = JSON.createArrayNode();
        try (KafkaProducer<byte[], byte[]> producer =
                 new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (JsonNode each : request.get("records")) {
                sent.add(producer.send(record(topicOf(request), each)));
            }
            for (Future<RecordMetadata> future : sent) {
                offsets.add(future.get(WAIT_SECONDS_MAX, TimeUnit.SECONDS).offset());
            }
        }
        ObjectNode answer = nothing();
        answer.set("offsets", offsets);
        return answer;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, JsonNode each) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : each.get("headers")) {
            headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
        }
        return new ProducerRecord<>(topic, each.get("partition").asInt(), each.get("timestamp").asLong(),
            bytes(each.get("key")), bytes(each.get("value")), headers);
    }

    private JsonNode transaction(JsonNode request) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", request.get("id").asText());
        try (KafkaProducer<byte[], byte[]> producer =
                 new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            request.get("aborted").forEach(each -> producer.send(record(topicOf(request), each)));
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            request.get("committed").forEach(each -> producer.send(record(topicOf(request), each)));
            producer.commitTransaction();
        }
        return nothing();
    }

    private JsonNode consume(JsonNode request) throws Exception {
        return consume(request, Map.of());
    }

    private JsonNode consumeCommitted(JsonNode request) throws Exception {
        return consume(request, Map.of("isolation.level", "read_committed"));
    }

    private JsonNode consume(JsonNode request, Map<String, String> more) throws Exception {
        List<TopicPartition> partitions = new ArrayList<>();
        request.get("partitions").forEach(each -> partitions.add(new TopicPartition(topicOf(request), each.asInt())));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null, more)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            ObjectNode answer = nothing();
            answer.set("records", read(List.of(consumer), request.get("count").asInt()));
            return answer;
        }
    }

    private JsonNode consumeFromTime(JsonNode request) throws Exception {
        Map<TopicPartition, Long> times = new HashMap<>();
        for (int partition : partitionsOf(topicOf(request))) {
            times.put(new TopicPartition(topicOf(request), partition), request.get("timestamp").asLong());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null)) {
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(times);
            ObjectNode offsets = nothing();
            List<TopicPartition> known = new ArrayList<>();
            found.forEach((partition, offset) -> {
                String name = String.valueOf(partition.partition());
                if (offset == null) {
                    offsets.putNull(name);
                } else {
                    offsets.put(name, offset.offset());
                    known.add(partition);
                }
            });
            consumer.assign(known);
            known.forEach(partition -> consumer.seek(partition, found.get(partition).offset()));
            ObjectNode answer = nothing();
            answer.set("offsets", offsets);
            answer.set("records", read(List.of(consumer), request.get("count").asInt()));
            return answer;
        }
    }

    // --- groups ------------------------------------------------------------------------------------------------

    private JsonNode groupOfTwo(JsonNode request) throws Exception {
        return groupOfTwo(request, "classic");
    }

    private JsonNode groupOfTwo(JsonNode request, String protocol) throws Exception {
        Map<String, String> more = protocol.equals("classic") ? Map.of() : Map.of("group.protocol", protocol);
        Set<Integer> all = partitionsOf(topicOf(request));
        String group = request.get("group").asText();
        try (KafkaConsumer<byte[], byte[]> first = consumer(group, more);
             KafkaConsumer<byte[], byte[]> second = consumer(group, more)) {
            first.subscribe(List.of(topicOf(request)));
            pollUntil("the first member to own every partition", List.of(first), () -> owned(first).equals(all));
            ObjectNode answer = nothing();
            answer.set("alone", JSON.valueToTree(owned(first)));
            second.subscribe(List.of(topicOf(request)));
            pollUntil("both members to share the partitions", List.of(first, second), () -> {
                Set<Integer> both = new TreeSet<>(owned(first));
                both.addAll(owned(second));
                return !owned(first).isEmpty() && !owned(second).isEmpty() && both.equals(all)
                    && owned(first).size() + owned(second).size() == all.size();
            });
            answer.set("together", JSON.valueToTree(List.of(owned(first), owned(second))));
            answer.set("described", describeGroup(request));
            ObjectNode records = nothing();
            records.set("topic", request.get("topic"));
            records.put("codec", "none");
            records.put("idempotent", false);
            records.set("records", request.get("records"));
            produce(records);
            answer.set("records", read(List.of(first, second), request.get("records").size()));
            first.commitSync();
            second.commitSync();
            return answer;
        }
    }

    private JsonNode consumeGroup(JsonNode request) throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(request.get("group").asText())) {
            consumer.subscribe(List.of(topicOf(request)));
            ObjectNode answer = nothing();
            answer.set("records", read(List.of(consumer), request.get("count").asInt()));
            consumer.commitSync();
            return answer;
        }
    }

    private JsonNode committed(JsonNode request) throws Exception {
        ObjectNode offsets = nothing();
        Map<TopicPartition, OffsetAndMetadata> found =
            await(admin.listConsumerGroupOffsets(request.get("group").asText()).partitionsToOffsetAndMetadata());
        found.forEach((partition, offset) -> offsets.put(String.valueOf(partition.partition()), offset.offset()));
        ObjectNode answer = nothing();
        answer.set("offsets", offsets);
        return answer;
    }

    private ObjectNode describeGroup(JsonNode request) throws Exception {
        String group = request.get("group").asText();
        ConsumerGroupDescription described = await(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group));
        ObjectNode answer = nothing();
        // The class of the state moved to another package, its text did not change.
        answer.put("state", String.valueOf(call(described, "groupState", "state")));
        answer.put("members", described.members().size());
        return answer;
    }

    private JsonNode listGroups(JsonNode request) throws Exception {
        ArrayNode names = JSON.createArrayNode();
        for (ConsumerGroupListing each : await(admin.listConsumerGroups().all())) {
            names.add(each.groupId());
        }
        ObjectNode answer = nothing();
        answer.set("groups", names);
        return answer;
    }

    private JsonNode deleteGroup(JsonNode request) throws Exception {
        await(admin.deleteConsumerGroups(List.of(request.get("group").asText())).all());
        return nothing();
    }

    // --- helpers -----------------------------------------------------------------------------------------------

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        return consumer(group, Map.of());
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, String> more) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        if (group != null) {
            settings.put("group.id", group);
        }
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        if (!more.containsKey("group.protocol")) {
            // With the consumer protocol the broker decides on the session and the heartbeats.
            settings.put("session.timeout.ms", "10000");
            settings.put("heartbeat.interval.ms", "300");
        }
        settings.put("fetch.max.wait.ms", "100");
        settings.put("default.api.timeout.ms", "20000");
        settings.put("request.timeout.ms", "15000");
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Set<Integer> partitionsOf(String topic) throws Exception {
        Set<Integer> numbers = new TreeSet<>();
        Map<?, ?> described = (Map<?, ?>) call(admin.describeTopics(List.of(topic)), "topicNameValues", "values");
        KafkaFuture<?> future = (KafkaFuture<?>) described.get(topic);
        Object description = await(future);
        ((org.apache.kafka.clients.admin.TopicDescription) description).partitions()
            .forEach(each -> numbers.add(each.partition()));
        return numbers;
    }

    private static Set<Integer> owned(KafkaConsumer<?, ?> consumer) {
        Set<Integer> numbers = new TreeSet<>();
        consumer.assignment().forEach(each -> numbers.add(each.partition()));
        return numbers;
    }

    private static void pollUntil(String what, Collection<KafkaConsumer<byte[], byte[]>> consumers, Condition condition) {
        long ends = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
        while (!condition.holds()) {
            consumers.forEach(each -> each.poll(Duration.ofMillis(50)));
            if (System.nanoTime() > ends) {
                throw new IllegalStateException("waited too long for " + what);
            }
        }
    }

    private static ArrayNode read(Collection<KafkaConsumer<byte[], byte[]>> consumers, int count) {
        ArrayNode records = JSON.createArrayNode();
        long ends = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
        while (records.size() < count) {
            for (KafkaConsumer<byte[], byte[]> consumer : consumers) {
                for (ConsumerRecord<byte[], byte[]> each : consumer.poll(Duration.ofMillis(50))) {
                    records.add(shown(each));
                }
            }
            if (System.nanoTime() > ends) {
                throw new IllegalStateException("waited too long for " + count + " records; read " + records.size());
            }
        }
        return records;
    }

    private static JsonNode shown(ConsumerRecord<byte[], byte[]> each) {
        ObjectNode shown = nothing();
        shown.put("partition", each.partition());
        shown.put("offset", each.offset());
        shown.put("timestamp", each.timestamp());
        shown.put("key", text(each.key()));
        shown.put("value", text(each.value()));
        ArrayNode headers = shown.putArray("headers");
        for (Header header : each.headers()) {
            headers.addArray().add(header.key()).add(text(header.value()));
        }
        return shown;
    }

    private static String version() throws Exception {
        Properties about = new Properties();
        about.load(KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties"));
        return about.getProperty("version");
    }

    /** Calls the first of the named methods that this release of the client has. */
    private static Object call(Object target, String... names) throws Exception {
        for (String name : names) {
            try {
                return target.getClass().getMethod(name).invoke(target);
            } catch (NoSuchMethodException absent) {
                continue;
            }
        }
        throw new NoSuchMethodException(String.join(", ", names));
    }

    private static <T> T await(KafkaFuture<T> future) throws Exception {
        return future.get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
    }

    private static String topicOf(JsonNode request) {
        return request.get("topic").asText();
    }

    private static Map<String, String> strings(JsonNode object) {
        Map<String, String> map = new HashMap<>();
        for (Iterator<Map.Entry<String, JsonNode>> fields = object.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            map.put(field.getKey(), field.getValue().asText());
        }
        return map;
    }

    private static ObjectNode nothing() {
        return JSON.createObjectNode();
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    private static String text(byte[] data) {
        return data == null ? null : Base64.getEncoder().encodeToString(data);
    }
}
