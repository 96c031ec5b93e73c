// Runs the command line tools of Apache Kafka one after another in one JVM, because each start of a JVM costs a second.
//
// Reads one JSON object per line from standard input, {"tool": class, "arguments": [...], "stdin": text}, and answers
// each with {"exit": code, "stdout": text, "stderr": text}. The tools are called through their main method, as their
// scripts do; what they would do to the whole process (exit, hooks, streams) is caught here.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.common.utils.Exit;

public final class Tools {
    private static final long WAIT_SECONDS_MAX = 25;
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What a tool wants to be run at its end; the console producer flushes there. */
    private static final Queue<Runnable> HOOKS = new ConcurrentLinkedQueue<>();

    /** The code of the first exit: tools that catch everything turn the Ended of an exit into a second one. */
    private static volatile Integer exitCode;

    /** Stands in for the end of the process. */
    private static final class Ended extends Error {
        Ended() {
            super("the tool ended", null, false, false);
        }
    }

    /** A stream whose target changes with each tool: Scala's Console keeps the stream that it saw first. */
    private static final class Switch extends OutputStream {
        volatile ByteArrayOutputStream target = new ByteArrayOutputStream();

        @Override
        public void write(int one) {
            target.write(one);
        }

        @Override
        public void write(byte[] data, int from, int length) {
            target.write(data, from, length);
        }
    }

    /**
     * Loads the classes of one package anew and everything else from the process: tools keep counts in statics, so a
     * second run of the old console consumer would believe that it has read its messages already.
     */
    private static final class Fresh extends ClassLoader {
        private final String prefix;

        Fresh(String tool) {
            super(Tools.class.getClassLoader());
            prefix = tool.substring(0, tool.lastIndexOf('.') + 1);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            synchronized (getClassLoadingLock(name)) {
                Class<?> known = findLoadedClass(name);
                if (known != null || !name.startsWith(prefix)) {
                    return known != null ? known : super.loadClass(name, resolve);
                }
                try (InputStream code = getResourceAsStream(name.replace('.', '/') + ".class")) {
                    if (code == null) {
                        throw new ClassNotFoundException(name);
                    }
                    byte[] data = code.readAllBytes();
                    return defineClass(name, data, 0, data.length);
                } catch (IOException error) {
                    throw new ClassNotFoundException(name, error);
                }
            }
        }
    }

    public static void main(String[] unused) throws IOException {
        PrintStream answers = new PrintStream(System.out, true, "UTF-8");
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Switch out = new Switch();
        Switch err = new Switch();
        System.setOut(new PrintStream(out, true, "UTF-8"));
        System.setErr(new PrintStream(err, true, "UTF-8"));
        Exit.Procedure end = (code, message) -> {
            if (message != null) {
                System.err.println(message);
            }
            exitCode = exitCode == null ? code : exitCode;
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
        ExecutorService threads = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task, "tool");
            thread.setDaemon(true);
            return thread;
        });
        answers.println("{\"ready\": true}");
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            JsonNode request = JSON.readTree(line);
            out.target = new ByteArrayOutputStream();
            err.target = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(request.get("stdin").asText().getBytes(StandardCharsets.UTF_8)));
            ObjectNode answer = JSON.createObjectNode();
            answer.put("exit", run(threads, request));
            answer.put("stdout", out.target.toString(StandardCharsets.UTF_8));
            answer.put("stderr", err.target.toString(StandardCharsets.UTF_8));
            answers.println(answer);
        }
        Runtime.getRuntime().halt(0);
    }

    private static int run(ExecutorService threads, JsonNode request) {
        List<String> arguments = new ArrayList<>();
        request.get("arguments").forEach(each -> arguments.add(each.asText()));
        HOOKS.clear();
        Future<Integer> ended = threads.submit(() -> {
            int code = call(request.get("tool").asText(), arguments.toArray(new String[0]));
            HOOKS.forEach(Runnable::run);
            return code;
        });
        try {
            return ended.get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
        } catch (TimeoutException late) {
            System.err.println("the tool did not end in " + WAIT_SECONDS_MAX + " s");
            ended.cancel(true);
        } catch (ExecutionException | InterruptedException error) {
            error.printStackTrace();
        }
        return -1;
    }

    private static int call(String tool, String[] arguments) throws ReflectiveOperationException {
        exitCode = null;
        try {
            new Fresh(tool).loadClass(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException error) {
            if (exitCode == null) {
                error.getCause().printStackTrace();
                return 1;
            }
        }
        return exitCode == null ? 0 : exitCode;
    }
}
