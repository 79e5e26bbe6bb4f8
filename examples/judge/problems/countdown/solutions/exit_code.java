// Counts right, and ends with another exit code than 0.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        int number = new Scanner(System.in).nextInt();
        for (; number > 0; --number) System.out.println(number);
        System.exit(3);
    }
}
