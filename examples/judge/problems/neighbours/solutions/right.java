// One pass: the best sum that ends here, and the best of all.
import java.io.*;

public class Main {
    public static void main(String[] arguments) throws IOException {
        StreamTokenizer in = new StreamTokenizer(new BufferedInputStream(System.in));
        in.nextToken();
        int count = (int) in.nval;
        long best = Long.MIN_VALUE, endingHere = 0;
        for (int i = 0; i < count; ++i) {
            in.nextToken();
            long number = (long) in.nval;
            endingHere = Math.max(endingHere + number, number);
            best = Math.max(best, endingHere);
        }
        System.out.println(best);
    }
}
