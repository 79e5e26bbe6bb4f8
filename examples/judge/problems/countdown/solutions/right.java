// Counts down.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        int number = new Scanner(System.in).nextInt();
        for (; number > 0; --number) System.out.println(number);
    }
}
