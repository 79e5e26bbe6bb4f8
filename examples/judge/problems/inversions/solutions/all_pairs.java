// Looks at all pairs: too slow for many.
import java.io.*;

public class Main {
    public static void main(String[] arguments) throws IOException {
        StreamTokenizer in = new StreamTokenizer(new BufferedInputStream(System.in));
        in.nextToken();
        int[] row = new int[(int) in.nval];
        for (int i = 0; i < row.length; ++i) {
            in.nextToken();
            row[i] = (int) in.nval;
        }
        long count = 0;
        for (int i = 0; i < row.length; ++i)
            for (int j = i + 1; j < row.length; ++j)
                if (row[j] < row[i]) ++count;
        System.out.println(count);
    }
}
