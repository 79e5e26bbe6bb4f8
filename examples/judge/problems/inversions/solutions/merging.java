// Sorts by merging; each number of the right half passes what is left of the left one.
import java.io.*;

public class Main {
    static int[] spare;

    public static void main(String[] arguments) throws IOException {
        StreamTokenizer in = new StreamTokenizer(new BufferedInputStream(System.in));
        in.nextToken();
        int[] row = new int[(int) in.nval];
        for (int i = 0; i < row.length; ++i) {
            in.nextToken();
            row[i] = (int) in.nval;
        }
        spare = new int[row.length];
        System.out.println(sort(row, 0, row.length));
    }

    static long sort(int[] row, int from, int to) {
        if (to - from < 2) return 0;
        int middle = (from + to) / 2;
        long count = sort(row, from, middle) + sort(row, middle, to);
        for (int at = from, left = from, right = middle; at < to; ++at) {
            boolean fromLeft = right == to || left < middle && row[left] < row[right];
            if (!fromLeft) count += middle - left;
            spare[at] = row[fromLeft ? left++ : right++];
        }
        System.arraycopy(spare, from, row, from, to - from);
        return count;
    }
}
