// The first says nothing.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        if (arguments[0].equals("second") && in.hasNext()) System.out.println(in.next());
    }
}
