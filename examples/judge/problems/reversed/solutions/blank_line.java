// Ends with an empty line too many.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        while (in.hasNextLine()) {
            System.out.println(new StringBuilder(in.nextLine()).reverse());
        }
        System.out.println();
    }
}
