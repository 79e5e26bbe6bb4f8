// Takes the heaviest that still fits.
import java.util.*;
import java.util.stream.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int count = in.nextInt(), left = in.nextInt();
        int[] weights = new int[count];
        for (int i = 0; i < count; ++i) weights[i] = in.nextInt();
        List<Integer> order = IntStream.range(0, count).boxed()
                .sorted((a, b) -> weights[b] - weights[a]).collect(Collectors.toList());
        StringBuilder chosen = new StringBuilder();
        int chosenCount = 0;
        for (int thing : order) {
            if (weights[thing] > left) continue;
            left -= weights[thing];
            chosen.append(thing + 1).append(' ');
            ++chosenCount;
        }
        System.out.println(chosenCount + "\n" + chosen);
    }
}
