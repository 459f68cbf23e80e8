import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.longrunning.CancelOperationRequest;
import com.google.longrunning.DeleteOperationRequest;
import com.google.longrunning.GetOperationRequest;
import com.google.longrunning.ListOperationsRequest;
import com.google.longrunning.ListOperationsResponse;
import com.google.longrunning.Operation;
import com.google.longrunning.WaitOperationRequest;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import com.google.protobuf.Message;
import com.google.protobuf.UnknownFieldSet;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Calls of grpc-java with Google's messages of operations. The argument is the file of a plan: hosts and tokens. Prints a line
 * of JSON for each: its row, and the answer or what the exception says. Without TLS: Debian's netty does not offer h2 there.
 */
public final class Calls {
  private static final String PLACE = "projects/demo/regions/us-central1";
  private static final String JOB = PLACE + "/operations/job-1";
  private static final Gson JSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
  private static final List<ManagedChannel> CHANNELS = new ArrayList<>();

  private static JsonObject plan;

  /** A connection with a token, or without one. */
  record Client(ManagedChannel channel, String token) {
    static Client of(String host, String token) {
      String[] parts = plan.get(host).getAsString().split(":");
      NettyChannelBuilder builder =
          NettyChannelBuilder.forAddress(parts[0], Integer.parseInt(parts[1])).usePlaintext();
      ManagedChannel channel = builder.disableRetry().build();
      CHANNELS.add(channel);
      return new Client(channel, token);
    }

    <Q extends Message, A extends Message> A call(String method, Q request, A answer, long milliseconds) {
      MethodDescriptor<Q, A> described =
          MethodDescriptor.<Q, A>newBuilder()
              .setType(MethodDescriptor.MethodType.UNARY)
              .setFullMethodName("google.longrunning.Operations/" + method)
              .setRequestMarshaller(marshaller(request))
              .setResponseMarshaller(marshaller(answer))
              .build();
      Metadata metadata = new Metadata();
      if (token != null) {
        metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
      }
      CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(milliseconds, TimeUnit.MILLISECONDS);
      return ClientCalls.blockingUnaryCall(
          io.grpc.ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(metadata)),
          described,
          options,
          request);
    }

    Object get(String name, long milliseconds) {
      GetOperationRequest request = GetOperationRequest.newBuilder().setName(name).build();
      return call("GetOperation", request, Operation.getDefaultInstance(), milliseconds).getName();
    }

    Object get(String name) {
      return get(name, 30_000);
    }
  }

  @SuppressWarnings("unchecked")
  private static <M extends Message> MethodDescriptor.Marshaller<M> marshaller(M message) {
    return (MethodDescriptor.Marshaller<M>) ProtoUtils.marshaller(message);
  }

  private static void row(String name, Supplier<Object> call) {
    Map<String, Object> line = new TreeMap<>();
    line.put("row", name);
    try {
      line.put("answer", call.get());
    } catch (StatusRuntimeException error) {
      line.put("code", error.getStatus().getCode().name());
      line.put("message", error.getStatus().getDescription());
      line.put("reason", null);
      line.put("domain", null);
      line.put("metadata", Map.of());
      com.google.rpc.Status status = StatusProto.fromThrowable(error);
      for (Any detail : status.getDetailsList()) {
        info(detail, line);
      }
    }
    System.out.println(JSON.toJson(line));
  }

  /** Reads an ErrorInfo, which Debian's messages do not have. */
  private static void info(Any detail, Map<String, Object> line) {
    if (!detail.getTypeUrl().equals("type.googleapis.com/google.rpc.ErrorInfo")) {
      return;
    }
    UnknownFieldSet fields = fields(detail.getValue());
    line.put("reason", text(fields, 1));
    line.put("domain", text(fields, 2));
    Map<String, String> metadata = new TreeMap<>();
    for (ByteString entry : fields.getField(3).getLengthDelimitedList()) {
      metadata.put(text(fields(entry), 1), text(fields(entry), 2));
    }
    line.put("metadata", metadata);
  }

  private static UnknownFieldSet fields(ByteString bytes) {
    try {
      return UnknownFieldSet.parseFrom(bytes);
    } catch (com.google.protobuf.InvalidProtocolBufferException error) {
      throw new IllegalStateException(error);
    }
  }

  private static String text(UnknownFieldSet fields, int number) {
    List<ByteString> found = fields.getField(number).getLengthDelimitedList();
    return found.isEmpty() ? null : found.get(found.size() - 1).toStringUtf8();
  }

  private static String token(String name) {
    return plan.getAsJsonObject("tokens").get(name).getAsString();
  }

  private static void allowed() {
    Client client = Client.of("dataproc", token("good"));
    row("get", () -> client.get(JOB));
    row(
        "list",
        () -> {
          ListOperationsRequest request = ListOperationsRequest.newBuilder().setName(PLACE + "/operations").build();
          ListOperationsResponse found =
              client.call("ListOperations", request, ListOperationsResponse.getDefaultInstance(), 30_000);
          return found.getOperationsList().stream().map(Operation::getName).toList();
        });
    row("cancel", () -> cancel(client, JOB));
    row(
        "delete",
        () -> {
          DeleteOperationRequest request = DeleteOperationRequest.newBuilder().setName(JOB).build();
          client.call("DeleteOperation", request, Empty.getDefaultInstance(), 30_000);
          return null;
        });
    row(
        "wait",
        () -> {
          String name = "projects/demo/locations/l/operations/job-1";
          WaitOperationRequest request = WaitOperationRequest.newBuilder().setName(name).build();
          Client translation = Client.of("translation", token("good"));
          return translation.call("WaitOperation", request, Operation.getDefaultInstance(), 30_000).getName();
        });
  }

  private static Object cancel(Client client, String name) {
    CancelOperationRequest request = CancelOperationRequest.newBuilder().setName(name).build();
    client.call("CancelOperation", request, Empty.getDefaultInstance(), 30_000);
    return null;
  }

  private static void refused() {
    row("no token", () -> Client.of("dataproc", null).get(JOB));
    row("expired", () -> Client.of("dataproc", token("expired")).get(JOB));
    row("bad token", () -> Client.of("dataproc", token("forged")).get(JOB));
    row("no scope", () -> Client.of("dataproc", token("narrow")).get(JOB));
    row("no permission", () -> Client.of("dataproc", token("stranger")).get(JOB));
    Client client = Client.of("dataproc", token("good"));
    row("another project", () -> cancel(client, JOB.replace("demo", "other")));
    row("no name", () -> client.get(""));
    row("not found", () -> client.get(PLACE + "/operations/missing-1"));
    row("deadline", () -> client.get(PLACE + "/operations/slow-1", 500));
    row("late backend", () -> Client.of("late", token("good")).get(PLACE + "/operations/slow-2"));
    row("no backend", () -> Client.of("dead", token("good")).get(PLACE + "/operations/slow-2"));
  }

  public static void main(String[] arguments) throws Exception {
    plan = JSON.fromJson(Files.readString(Path.of(arguments[0])), JsonObject.class);
    allowed();
    refused();
    CHANNELS.forEach(ManagedChannel::shutdownNow);
  }
}
