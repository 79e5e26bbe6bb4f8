// Leaves a multiple of four.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        System.out.println(new Scanner(System.in).nextInt() % 4);
    }
}
