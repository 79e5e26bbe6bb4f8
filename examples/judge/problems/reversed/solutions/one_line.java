// Reverses only the first line.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        String line = new Scanner(System.in).nextLine();
        System.out.println(new StringBuilder(line).reverse());
    }
}
