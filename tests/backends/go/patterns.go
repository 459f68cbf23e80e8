package main

import (
	"net/http"
	"strings"
)

// The patterns that net/http has since Go 1.22: segments are decoded, then compared by case. A verb cannot be written in
// them, so it is cut off at the last colon of the decoded segment.
func patterns() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern, method, resource string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			run(w, r, method, fill(resource, r))
		})
	}
	// A method for each verb, and the one for none.
	verbs := func(pattern, resource, plain string, methods map[string]string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			name := fill(resource, r)
			if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
				if method := methods[name[colon+1:]]; method != "" {
					run(w, r, method, name[:colon])
					return
				}
			}
			if plain == "" {
				nowhere(w, r)
				return
			}
			run(w, r, plain, name)
		})
	}
	const thing = "projects/{project}/things/{thing}"
	const transfer = "projects/{project}/transferOperations/{transfer}"
	const files = "projects/{project}/files"
	verbs("GET /v1/"+thing, thing, "things.v1.Things.Get",
		map[string]string{"exportSecrets": "things.v1.Things.Export"})
	verbs("POST /v1/"+thing, thing, "", map[string]string{
		"testIamPermissions": "things.v1.Things.TestIamPermissions", "purge": "things.v1.Things.Purge"})
	route("GET /v1/projects/{project}/things/root", "things.v1.Things.GetRoot", "projects/{project}/things/root")
	route("GET /v1/projects/{project}/things/audit", "things.v1.Things.GetAudit", "projects/{project}/things/audit")
	route("GET /v1/projects/{project}/things/vault", "vault.v1.Vaults.GetThing", "projects/{project}/things/vault")
	route("DELETE /v1/"+thing, "things.v1.Things.Delete", thing)
	route("PUT /v1/"+thing, "things.v1.Things.Upload", thing)
	route("/v1/projects/{project}/hooks/{hook}", "things.v1.Things.Hook", "projects/{project}/hooks/{hook}")
	route("GET /v1/"+files, "things.v1.Files.Read", files)
	// A wildcard for the rest has to be the last of a pattern.
	mux.HandleFunc("GET /v1/"+files+"/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		name := fill(files, r) + "/" + r.PathValue("rest")
		if cut := strings.TrimSuffix(name, "/acl"); cut != name {
			run(w, r, "things.v1.Files.ReadAcl", cut)
			return
		}
		run(w, r, "things.v1.Files.Read", name)
	})
	verbs("POST /v1/"+transfer, transfer, "", map[string]string{"cancel": "things.v1.Transfers.Cancel"})
	route("GET /v1/"+transfer, "things.v1.Transfers.Get", transfer)
	route("GET /v1/projects/{project}/vaults/{vault}", "vault.v1.Vaults.Get", "projects/{project}/vaults/{vault}")
	// Beside a pattern for any method, `{collection}` would be one too many for the mux: it takes what is left.
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		path := strings.Split(r.URL.Path, "/")
		if r.Method != "GET" || len(path) != 6 || path[1] != "v1" || path[2] != "projects" {
			nowhere(w, r)
			return
		}
		run(w, r, "things.v1.Items.Get", strings.Join(path[2:], "/"))
	})
	return mux
}

// Puts the values of a request into a resource's name.
func fill(resource string, r *http.Request) string {
	for _, name := range []string{"project", "thing", "hook", "transfer", "vault"} {
		if value := r.PathValue(name); value != "" {
			resource = strings.Replace(resource, "{"+name+"}", value, 1)
		}
	}
	return resource
}
