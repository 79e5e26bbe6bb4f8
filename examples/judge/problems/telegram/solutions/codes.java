// Three digits a character: its code.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        boolean encodes = in.nextLine().equals("encode");
        String text = in.nextLine();
        StringBuilder out = new StringBuilder();
        for (int at = 0; at < text.length(); at += encodes ? 1 : 3) {
            if (encodes) out.append(String.format("%03d", (int) text.charAt(at)));
            else out.append((char) Integer.parseInt(text.substring(at, at + 3)));
        }
        System.out.println(out);
    }
}
