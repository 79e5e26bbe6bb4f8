// Sends the line as it is.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        in.nextLine();
        System.out.println(in.nextLine());
    }
}
