// The second looks beyond the end of a row.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int count = in.nextInt();
        int[] row = new int[1];
        System.out.println(row[arguments[0].equals("first") ? 0 : 1]);
    }
}
