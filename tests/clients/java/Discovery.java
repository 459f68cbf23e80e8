import com.google.api.client.googleapis.services.json.AbstractGoogleJsonClient;
import com.google.api.client.googleapis.services.json.AbstractGoogleJsonClientRequest;
import com.google.api.client.http.HttpRequestInitializer;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.api.client.json.GenericJson;
import com.google.api.client.json.gson.GsonFactory;
import com.google.api.client.util.Key;

/** Calls of Java's discovery client, as generated clients make them: URL, token. Prints the answer to each. */
public final class Discovery {
  static final class Client extends AbstractGoogleJsonClient {
    Client(Builder builder) {
      super(builder);
    }

    static final class Builder extends AbstractGoogleJsonClient.Builder {
      Builder(String root, HttpRequestInitializer initializer) {
        super(new NetHttpTransport(), GsonFactory.getDefaultInstance(), root, "", initializer, false);
        setApplicationName("opgate-test");
      }

      @Override
      public Client build() {
        return new Client(this);
      }
    }
  }

  static final class Call extends AbstractGoogleJsonClientRequest<GenericJson> {
    @Key private String name;
    @Key private String filter;
    @Key private String updateMask;
    @Key("$alt") private String numbers;

    Call(Client client, String method, String path, Object body, String name) {
      super(client, method, path, body, GenericJson.class);
      this.name = name;
    }
  }

  public static void main(String[] arguments) throws Exception {
    String token = arguments[1];
    HttpRequestInitializer initializer = request -> request.getHeaders().setAuthorization("Bearer " + token);
    Client client = new Client.Builder(arguments[0], initializer).build();
    String operation = "projects/demo/locations/us-central1/operations/train-1";

    System.out.println("empty " + new Call(client, "POST", "v1/{+name}:cancel", null, operation).execute());
    System.out.println("named " + new Call(client, "POST", "v1/{+name}:cancel", new GenericJson(), operation).execute());
    GenericJson wait = new GenericJson().set("timeout", "0s");
    Call waiting = new Call(client, "POST", "v1/{+name}:wait", wait, operation);
    waiting.numbers = "json;enum-encoding=int";
    System.out.println("wait " + waiting.execute());
    Call list = new Call(client, "GET", "v1/{+name}/operations", null, "projects/demo/locations/us-central1");
    list.filter = "x".repeat(3000);
    System.out.println("list " + list.execute());
    Call patch = new Call(client, "PATCH", "v1/{+name}", new GenericJson().set("title", "T"), "projects/library/books/b");
    patch.updateMask = "title";
    System.out.println("patch " + patch.execute());
  }
}
