import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * Decodes messages with Apache Kafka's own generated classes and says what it read.
 *
 * Owns: the choice of release (one class loader each) and the line protocol below.
 * Must never know: what a message means.
 *
 * Run it as one source file, with one argument per release, "NAME=CLASS:PATH":
 *
 *     java MessageOracle.java 4.4.0=/jars/kafka-clients-4.4.0.jar:... 3.9.2=...
 *
 * A batch is some lines and an empty line; its answers come when it is complete, so that neither side ever waits for
 * the other's pipe. Columns are separated by a tab.
 *
 *     asks       release  class  version  hex
 *     answers    ok       hex of the message written again    its JSON
 *                absent   the release has no such class or version
 *                error    what the decoder threw
 *
 * Everything is reached through reflection, because two releases of the same classes live in this process.
 */
public final class MessageOracle {
    private static final String MESSAGES = "org.apache.kafka.common.message.";
    private static final String PROTOCOL = "org.apache.kafka.common.protocol.";
    private static final HexFormat HEX = HexFormat.of();

    /** The classes of one release of Apache Kafka. */
    private static final class Release {
        private final ClassLoader loader;
        private final Class<?> readable;
        private final Constructor<?> accessor;
        private final Constructor<?> cache;
        private final Method size;
        private final Method write;
        private final Map<String, Kind> kinds = new HashMap<>();

        Release(String classPath) throws ReflectiveOperationException, IOException {
            List<URL> jars = new ArrayList<>();
            for (String jar : classPath.split(File.pathSeparator)) {
                jars.add(new File(jar).toURI().toURL());
            }
            loader = new URLClassLoader(jars.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
            readable = loader.loadClass(PROTOCOL + "Readable");
            accessor = loader.loadClass(PROTOCOL + "ByteBufferAccessor").getConstructor(ByteBuffer.class);
            Class<?> message = loader.loadClass(PROTOCOL + "Message");
            Class<?> sizes = loader.loadClass(PROTOCOL + "ObjectSerializationCache");
            cache = sizes.getConstructor();
            size = message.getMethod("size", sizes, short.class);
            write = message.getMethod("write", loader.loadClass(PROTOCOL + "Writable"), sizes, short.class);
        }

        String answer(String name, short version, String hex) throws ReflectiveOperationException {
            Kind kind = kind(name);
            if (kind == null || version < kind.lowest || version > kind.highest) {
                return "absent";
            }
            ByteBuffer bytes = ByteBuffer.wrap(HEX.parseHex(hex));
            Object message = kind.decode.newInstance(accessor.newInstance(bytes), version);
            if (bytes.hasRemaining()) {
                return "error\t" + bytes.remaining() + " bytes left over";
            }
            Object sizes = cache.newInstance();
            byte[] again = new byte[(int) size.invoke(message, sizes, version)];
            write.invoke(message, accessor.newInstance(ByteBuffer.wrap(again)), sizes, version);
            // The flag leaves records out of the JSON and tells their size instead.
            return "ok\t" + HEX.formatHex(again) + "\t" + kind.toJson.invoke(null, message, version, false);
        }

        private Kind kind(String name) throws ReflectiveOperationException {
            if (!kinds.containsKey(name)) {
                kinds.put(name, load(name));
            }
            return kinds.get(name);
        }

        private Kind load(String name) throws ReflectiveOperationException {
            try {
                Class<?> data = loader.loadClass(MESSAGES + name);
                Class<?> json = loader.loadClass(MESSAGES + name + "JsonConverter");
                return new Kind(
                    data.getConstructor(readable, short.class),
                    json.getMethod("write", data, short.class, boolean.class),
                    data.getField("LOWEST_SUPPORTED_VERSION").getShort(null),
                    data.getField("HIGHEST_SUPPORTED_VERSION").getShort(null));
            } catch (ClassNotFoundException none) {
                return null;
            }
        }
    }

    /** One message class. */
    private record Kind(Constructor<?> decode, Method toJson, short lowest, short highest) { }

    public static void main(String[] arguments) throws Exception {
        Map<String, Release> releases = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            releases.put(parts[0], new Release(parts[1]));
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        List<String> batch = new ArrayList<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (!line.isEmpty()) {
                batch.add(line);
                continue;
            }
            for (String question : batch) {
                String[] columns = question.split("\t", -1);
                out.write(answer(releases.get(columns[0]), columns));
                out.newLine();
            }
            batch.clear();
            out.flush();
        }
    }

    private static String answer(Release release, String[] columns) throws ReflectiveOperationException {
        try {
            return release.answer(columns[1], Short.parseShort(columns[2]), columns[3]);
        } catch (InvocationTargetException thrown) {
            return "error\t" + String.valueOf(thrown.getCause()).replaceAll("\\s+", " ");
        }
    }
}
