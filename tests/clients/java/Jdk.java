import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Calls of the JDK's own client with its defaults, with which it offers `Upgrade: h2c`: URL, token. Prints each answer. */
public final class Jdk {
  public static void main(String[] arguments) throws Exception {
    String operation = arguments[0] + "v1/projects/demo/locations/us-central1/operations/train-1";
    HttpClient client = HttpClient.newHttpClient();
    HttpRequest get = request(operation, arguments[1]).GET().build();
    HttpRequest cancel =
        request(operation + ":cancel", arguments[1])
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString("{}"))
            .build();
    for (HttpRequest request : new HttpRequest[] {get, cancel, get}) {
      HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
      System.out.println(request.method() + " " + answer.version() + " " + answer.statusCode());
    }
  }

  private static HttpRequest.Builder request(String url, String token) {
    return HttpRequest.newBuilder(URI.create(url)).header("Authorization", "Bearer " + token);
  }
}
