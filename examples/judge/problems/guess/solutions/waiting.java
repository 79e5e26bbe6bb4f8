// Waits to be asked.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        System.out.println(new Scanner(System.in).nextLine());
    }
}
