// Keeps the line in a file, which the second run does not have.
import java.io.*;
import java.util.*;

public class Main {
    public static void main(String[] arguments) throws IOException {
        Scanner in = new Scanner(System.in);
        if (in.nextLine().equals("encode")) {
            try (Writer file = new FileWriter("/tmp/line")) {
                file.write(in.nextLine());
            }
            System.out.println("1");
        } else {
            System.out.println(new Scanner(new File("/tmp/line")).nextLine());
        }
    }
}
