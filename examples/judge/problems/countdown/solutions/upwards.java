// Counts upwards; for 1 it does not matter.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        int last = new Scanner(System.in).nextInt();
        for (int number = 1; number <= last; ++number) System.out.println(number);
    }
}
