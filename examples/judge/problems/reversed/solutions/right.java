// Line by line.
import java.io.*;

public class Main {
    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out));
        for (String line; (line = in.readLine()) != null;) {
            out.println(new StringBuilder(line).reverse());
        }
        out.flush();
    }
}
