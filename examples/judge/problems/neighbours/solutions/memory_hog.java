// Keeps the sum of every run of neighbours before it looks for the largest.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int[] numbers = new int[in.nextInt()];
        for (int i = 0; i < numbers.length; ++i) numbers[i] = in.nextInt();
        List<long[]> rows = new ArrayList<>();
        long best = Long.MIN_VALUE;
        for (int from = 0; from < numbers.length; ++from) {
            long[] sums = new long[numbers.length - from + 1];
            for (int to = from; to < numbers.length; ++to) {
                sums[to - from + 1] = sums[to - from] + numbers[to];
                best = Math.max(best, sums[to - from + 1]);
            }
            rows.add(sums);
        }
        System.out.println(best);
    }
}
