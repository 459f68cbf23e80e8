package main

import (
	"context"
	"io"
	"net/http"
	"sort"
	"strings"

	"github.com/golang/protobuf/proto"
	"github.com/grpc-ecosystem/grpc-gateway/protoc-gen-grpc-gateway/httprule"
	"github.com/grpc-ecosystem/grpc-gateway/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/utilities"
	iam "google.golang.org/genproto/googleapis/iam/v1"
	"google.golang.org/genproto/googleapis/longrunning"
	"google.golang.org/grpc/metadata"
)

// grpc-gateway's runtime, with handlers that do what its generator writes: body, query and path are bound to a message,
// the path last, and headers become metadata. It routes on the decoded path, by case, and cuts the verb off at the last
// colon.
//
// The templates are those of ../policies. The first one that matches runs (runtime/mux.go), so literals stand before
// wildcards, as a service with such routes has to write them.
func gateway() http.Handler {
	mux := runtime.NewServeMux()
	handle := func(http, template, method, field string, body bool) {
		mux.Handle(http, compile(template), handler(mux, method, field, body))
	}
	handle("GET", "/v1/{name=projects/*/things/*}:exportSecrets", "things.v1.Things.Export", "name", false)
	handle("POST", "/v1/{resource=projects/*/things/*}:testIamPermissions", "things.v1.Things.TestIamPermissions", "resource", true)
	handle("POST", "/v1/{name=projects/*/things/*}:purge", "things.v1.Things.Purge", "name", true)
	handle("GET", "/v1/{name=projects/*/things/root}", "things.v1.Things.GetRoot", "name", false)
	handle("GET", "/v1/{name=projects/*/things/audit}", "things.v1.Things.GetAudit", "name", false)
	handle("GET", "/v1/{name=projects/*/things/vault}", "vault.v1.Vaults.GetThing", "name", false)
	handle("GET", "/v1/{name=projects/*/things/*}", "things.v1.Things.Get", "name", false)
	handle("DELETE", "/v1/{name=projects/*/things/*}", "things.v1.Things.Delete", "name", false)
	handle("PUT", "/v1/{name=projects/*/things/*}", "things.v1.Things.Upload", "name", false)
	// It has no `*` for HTTP methods.
	for _, any := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "REPORT"} {
		handle(any, "/v1/{name=projects/*/hooks/*}", "things.v1.Things.Hook", "name", false)
	}
	handle("GET", "/v1/{name=projects/*/files/**}/acl", "things.v1.Files.ReadAcl", "name", false)
	handle("GET", "/v1/{name=projects/*/files/**}", "things.v1.Files.Read", "name", false)
	handle("POST", "/v1/{name=projects/*/transferOperations/*}:cancel", "things.v1.Transfers.Cancel", "name", true)
	handle("GET", "/v1/{name=projects/*/transferOperations/*}", "things.v1.Transfers.Get", "name", false)
	handle("GET", "/v1/{name=projects/*/vaults/*}", "vault.v1.Vaults.Get", "name", false)
	handle("GET", "/v1/{name=projects/*/*/*}", "things.v1.Items.Get", "name", false)
	runtime.OtherErrorHandler = func(w http.ResponseWriter, r *http.Request, _ string, _ int) { nowhere(w, r) }
	return mux
}

func compile(template string) runtime.Pattern {
	parsed, err := httprule.Parse(template)
	if err != nil {
		panic(err)
	}
	compiled := parsed.Compile()
	return runtime.MustPattern(runtime.NewPattern(1, compiled.OpCodes, compiled.Pool, compiled.Verb))
}

func handler(mux *runtime.ServeMux, method, field string, body bool) runtime.HandlerFunc {
	filter := utilities.NewDoubleArray([][]string{{field}})
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		ctx, err := runtime.AnnotateContext(context.Background(), mux, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var message proto.Message = &longrunning.GetOperationRequest{}
		if field == "resource" {
			message = &iam.TestIamPermissionsRequest{}
		}
		if body {
			inbound, _ := runtime.MarshalerForRequest(mux, r)
			if err := inbound.NewDecoder(r.Body).Decode(message); err != nil && err != io.EOF {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		} else if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		} else if err := runtime.PopulateQueryParameters(message, r.Form, filter); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		rest, whole := read(w, r)
		if !whole {
			return
		}
		if err := runtime.PopulateFieldFromPath(message, field, params[field]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		md, _ := metadata.FromOutgoingContext(ctx)
		keys := make([]string, 0, len(md))
		for key := range md {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		resource := params[field]
		switch message := message.(type) {
		case *longrunning.GetOperationRequest:
			resource = message.Name
		case *iam.TestIamPermissionsRequest:
			resource = message.Resource
		}
		// `**` of no segment at all joins to a slash at the end.
		resource = strings.TrimSuffix(resource, "/")
		tell(w, r, told{Ran: method, Resource: resource, Metadata: strings.Join(keys, " "), Length: len(rest)})
	}
}
