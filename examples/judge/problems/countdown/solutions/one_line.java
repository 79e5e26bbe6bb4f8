// All on one line; for 1 it does not matter.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        int number = new Scanner(System.in).nextInt();
        for (; number > 1; --number) System.out.print(number + " ");
        System.out.println(number);
    }
}
