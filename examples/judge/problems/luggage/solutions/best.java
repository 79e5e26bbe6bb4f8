// For each sum, which thing reached it first.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int count = in.nextInt(), capacity = in.nextInt();
        int[] weights = new int[count + 1], reached = new int[capacity + 1];
        reached[0] = -1;
        for (int thing = 1; thing <= count; ++thing) {
            weights[thing] = in.nextInt();
            for (int sum = capacity; sum >= weights[thing]; --sum)
                if (reached[sum] == 0 && reached[sum - weights[thing]] != 0) reached[sum] = thing;
        }
        int sum = capacity;
        while (reached[sum] == 0) --sum;
        List<String> chosen = new ArrayList<>();
        for (; sum > 0; sum -= weights[reached[sum]]) chosen.add("" + reached[sum]);
        System.out.println(chosen.size() + "\n" + String.join(" ", chosen));
    }
}
