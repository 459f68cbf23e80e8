// The route table of ../policies, served by three ways to route in Go, one per run of this program:
//
//	backend byhand PORT    net/http alone, dispatched by hand and without regard to case (byhand.go)
//	backend patterns PORT  the patterns of net/http (patterns.go)
//	backend gateway PORT   grpc-gateway (gateway.go)
//
// Writes a line of JSON for each request to standard output.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
)

func main() {
	handlers := map[string]func() http.Handler{"byhand": byHand, "patterns": patterns, "gateway": gateway}
	go func() {
		// The test that started it is gone.
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[2], handlers[os.Args[1]]()))
}

// What ran, as the tests read it.
type told struct {
	ID       string `json:"id"`
	Case     string `json:"case"`
	HTTP     string `json:"http"`
	Ran      string `json:"ran"`
	Resource string `json:"resource"`
	Headers  string `json:"headers"`
	// Keys of the metadata that grpc-gateway would send on.
	Metadata string `json:"metadata"`
	Length   int    `json:"length"`
}

var (
	out  = bufio.NewWriter(os.Stdout)
	lock sync.Mutex
)

func tell(w http.ResponseWriter, r *http.Request, line told) {
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, strings.ToLower(name))
	}
	sort.Strings(names)
	line.ID, line.Case, line.HTTP = r.Header.Get("X-Request-Id"), r.Header.Get("User-Agent"), r.Method
	line.Headers = strings.Join(names, " ")
	text, err := json.Marshal(line)
	if err != nil {
		log.Fatal(err)
	}
	text = append(text, '\n')
	lock.Lock()
	out.Write(text)
	out.Flush()
	lock.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if line.Ran == "" {
		w.WriteHeader(http.StatusNotFound)
	}
	w.Write(text)
}

// Reads the body whole. One that breaks off or is malformed runs nothing.
func read(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return body, err == nil
}

// Runs a method as handlers written by hand do. What they take for the resource: the body first, as encoding/json binds
// it (keys fold), then the query, without regard to case, then the path.
func run(w http.ResponseWriter, r *http.Request, method, resource string) {
	body, whole := read(w, r)
	if !whole {
		return
	}
	var said struct {
		Name     string `json:"name"`
		Resource string `json:"resource"`
	}
	switch method {
	case "things.v1.Things.Upload", "things.v1.Things.Hook":
	default:
		if len(body) > 0 {
			if err := json.Unmarshal(body, &said); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
	}
	field, value := "name", said.Name
	if method == "things.v1.Things.TestIamPermissions" {
		field, value = "resource", said.Resource
	}
	if value == "" {
		for key, values := range r.URL.Query() {
			if strings.EqualFold(key, field) {
				value = values[0]
			}
		}
	}
	if value == "" {
		value = resource
	}
	tell(w, r, told{Ran: method, Resource: value, Length: len(body)})
}

func nowhere(w http.ResponseWriter, r *http.Request) {
	tell(w, r, told{})
}
