// Calls of Google's Go clients over grpc-go. The argument is the file of a plan: hosts and tokens. Prints a line of JSON for
// each: its row, and the answer or what the error says. TLS has the roots of SSL_CERT_FILE.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	dataproc "cloud.google.com/go/dataproc/apiv1"
	longrunning "cloud.google.com/go/longrunning/autogen"
	translate "cloud.google.com/go/translate/apiv3"
	"github.com/googleapis/gax-go/v2"
	"golang.org/x/oauth2"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	dataprocpb "google.golang.org/genproto/googleapis/cloud/dataproc/v1"
	translatepb "google.golang.org/genproto/googleapis/cloud/translate/v3"
	longrunningpb "google.golang.org/genproto/googleapis/longrunning"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

const (
	place = "projects/demo/regions/us-central1"
	job   = place + "/operations/job-1"
)

var (
	plan struct {
		Dataproc, Translation, Late, Dead string
		Tokens                            map[string]string
	}
	// The clients try again where a backend is not there.
	once = gax.WithRetry(func() gax.Retryer { return nil })
)

func must[T any](made T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return made
}

func row[T any](name string, call func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	line := map[string]any{"row": name}
	if answer, err := call(ctx); err == nil {
		line["answer"] = answer
	} else {
		var told interface{ GRPCStatus() *status.Status }
		if !errors.As(err, &told) {
			must(0, err)
		}
		said := told.GRPCStatus()
		line["code"], line["message"] = code.Code_name[int32(said.Code())], said.Message()
		line["reason"], line["domain"], line["metadata"] = nil, nil, map[string]string{}
		for _, detail := range said.Details() {
			if info, is := detail.(*errdetails.ErrorInfo); is {
				line["reason"], line["domain"] = info.Reason, info.Domain
				if info.Metadata != nil {
					line["metadata"] = info.Metadata
				}
			}
		}
	}
	must(0, json.NewEncoder(os.Stdout).Encode(line))
}

func options(host, token string) []option.ClientOption {
	options := []option.ClientOption{option.WithEndpoint(host)}
	if token == "" {
		// Then the client chooses no TLS either.
		tls := grpc.WithTransportCredentials(credentials.NewTLS(nil))
		return append(options, option.WithoutAuthentication(), option.WithGRPCDialOption(tls))
	}
	return append(options, option.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})))
}

func operations(host, token string) *longrunning.OperationsClient {
	return must(longrunning.NewOperationsClient(context.Background(), options(host, token)...))
}

func clusters(token string) *dataproc.ClusterControllerClient {
	return must(dataproc.NewClusterControllerClient(context.Background(), options(plan.Dataproc, token)...))
}

func texts(token string) *translate.TranslationClient {
	return must(translate.NewTranslationClient(context.Background(), options(plan.Translation, token)...))
}

func get(client *longrunning.OperationsClient, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		found, err := client.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: name}, once)
		return found.GetName(), err
	}
}

func cluster(project string) *dataprocpb.GetClusterRequest {
	return &dataprocpb.GetClusterRequest{ProjectId: project, Region: "us-central1", ClusterName: "one"}
}

func allowed(token string) {
	client := operations(plan.Dataproc, token)
	row("get", get(client, job))
	row("list", func(ctx context.Context) ([]string, error) {
		names := []string{}
		found := client.ListOperations(ctx, &longrunningpb.ListOperationsRequest{Name: place + "/operations"}, once)
		for {
			operation, err := found.Next()
			if err == iterator.Done {
				return names, nil
			} else if err != nil {
				return nil, err
			}
			names = append(names, operation.Name)
		}
	})
	row("cancel", func(ctx context.Context) (any, error) {
		return nil, client.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: job}, once)
	})
	row("delete", func(ctx context.Context) (any, error) {
		return nil, client.DeleteOperation(ctx, &longrunningpb.DeleteOperationRequest{Name: job}, once)
	})
	row("wait", func(ctx context.Context) (string, error) {
		client, name := operations(plan.Translation, token), "projects/demo/locations/l/operations/job-1"
		found, err := client.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: name}, once)
		return found.GetName(), err
	})
	row("ordinary", func(ctx context.Context) (string, error) {
		found, err := clusters(token).GetCluster(ctx, cluster("demo"), once)
		return found.GetClusterName(), err
	})
	row("ordinary list", func(ctx context.Context) ([]string, error) {
		names := []string{}
		request := &dataprocpb.ListClustersRequest{ProjectId: "demo", Region: "us-central1"}
		found := clusters(token).ListClusters(ctx, request, once)
		for {
			cluster, err := found.Next()
			if err == iterator.Done {
				return names, nil
			} else if err != nil {
				return nil, err
			}
			names = append(names, cluster.ClusterName)
		}
	})
	row("translate", func(ctx context.Context) ([]string, error) {
		request := &translatepb.TranslateTextRequest{
			Parent: "projects/demo/locations/l", Contents: []string{"hi"}, TargetLanguageCode: "de",
		}
		found, err := texts(token).TranslateText(ctx, request, once)
		said := []string{}
		for _, translation := range found.GetTranslations() {
			said = append(said, translation.TranslatedText)
		}
		return said, err
	})
}

func refused(tokens map[string]string) {
	row("no token", get(operations(plan.Dataproc, ""), job))
	row("expired", get(operations(plan.Dataproc, tokens["expired"]), job))
	row("bad token", get(operations(plan.Dataproc, tokens["forged"]), job))
	row("no scope", get(operations(plan.Dataproc, tokens["narrow"]), job))
	row("no permission", get(operations(plan.Dataproc, tokens["stranger"]), job))
	client := operations(plan.Dataproc, tokens["good"])
	row("another project", func(ctx context.Context) (any, error) {
		name := "projects/other/regions/us-central1/operations/job-1"
		return nil, client.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: name}, once)
	})
	row("no name", get(client, ""))
	row("another cluster", func(ctx context.Context) (any, error) {
		return clusters(tokens["good"]).GetCluster(ctx, cluster("other"), once)
	})
	row("unimplemented", func(ctx context.Context) (any, error) {
		request := &dataprocpb.DiagnoseClusterRequest{ProjectId: "demo", Region: "us-central1", ClusterName: "one"}
		return clusters(tokens["good"]).DiagnoseCluster(ctx, request, once)
	})
	row("unknown method", func(ctx context.Context) (any, error) {
		request := &translatepb.GetSupportedLanguagesRequest{Parent: "projects/demo"}
		return texts(tokens["good"]).GetSupportedLanguages(ctx, request, once)
	})
	row("not found", get(client, place+"/operations/missing-1"))
	row("deadline", func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		return get(client, place+"/operations/slow-1")(ctx)
	})
	row("late backend", get(operations(plan.Late, tokens["good"]), place+"/operations/slow-2"))
	row("no backend", get(operations(plan.Dead, tokens["good"]), place+"/operations/slow-2"))
}

func main() {
	must(0, json.Unmarshal(must(os.ReadFile(os.Args[1])), &plan))
	allowed(plan.Tokens["good"])
	refused(plan.Tokens)
}
