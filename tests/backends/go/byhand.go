package main

import (
	"net/http"
	"strings"
)

// net/http with one pattern for all, and the decoded path split by hand: literals and verbs without regard to case, as
// strings.EqualFold and (?i) of regexp compare, which is by Unicode.
func byHand() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		method, resource := find(r.Method, strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/"))
		if method == "" {
			nowhere(w, r)
			return
		}
		run(w, r, method, resource)
	})
	mux.HandleFunc("/", nowhere)
	return mux
}

func find(http string, path []string) (method, resource string) {
	is := strings.EqualFold
	if len(path) < 3 || path[1] == "" || !is(path[0], "projects") {
		return "", ""
	}
	resource = strings.Join(path, "/")
	if is(path[2], "files") && http == "GET" {
		if last := len(path) - 1; last > 2 && is(path[last], "acl") {
			return "things.v1.Files.ReadAcl", strings.Join(path[:last], "/")
		}
		return "things.v1.Files.Read", resource
	}
	if len(path) != 4 || path[3] == "" {
		return "", ""
	}
	collection := path[2]
	if is(collection, "hooks") {
		return "things.v1.Things.Hook", resource
	}
	if colon := strings.LastIndex(resource, ":"); colon > strings.LastIndex(resource, "/") {
		verb, resource := resource[colon+1:], resource[:colon]
		switch {
		case is(collection, "things") && is(verb, "exportSecrets") && http == "GET":
			return "things.v1.Things.Export", resource
		case is(collection, "things") && is(verb, "testIamPermissions") && http == "POST":
			return "things.v1.Things.TestIamPermissions", resource
		case is(collection, "things") && is(verb, "purge") && http == "POST":
			return "things.v1.Things.Purge", resource
		case is(collection, "transferOperations") && is(verb, "cancel") && http == "POST":
			return "things.v1.Transfers.Cancel", resource
		}
		// Any other colon is the id's.
	}
	if is(collection, "things") {
		switch http {
		case "GET":
			switch {
			case is(path[3], "root"):
				return "things.v1.Things.GetRoot", resource
			case is(path[3], "audit"):
				return "things.v1.Things.GetAudit", resource
			case is(path[3], "vault"):
				return "vault.v1.Vaults.GetThing", resource
			}
			return "things.v1.Things.Get", resource
		case "DELETE":
			return "things.v1.Things.Delete", resource
		case "PUT":
			return "things.v1.Things.Upload", resource
		}
		return "", ""
	}
	if http != "GET" {
		return "", ""
	}
	switch {
	case is(collection, "transferOperations"):
		return "things.v1.Transfers.Get", resource
	case is(collection, "vaults"):
		return "vault.v1.Vaults.Get", resource
	}
	return "things.v1.Items.Get", resource
}
