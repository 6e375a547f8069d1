// The kubelet's choice: for each line of JSON with an image and Secrets, a line with the credentials
// that the kubelet tries, in order.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type question struct {
	Image   string
	Secrets []v1.Secret
}

type credential struct {
	Secret   string `json:"secret"`
	Username []byte `json:"username"`
	Password []byte `json:"password"`
}

type answer struct {
	Error string       `json:"error"`
	Tried []credential `json:"tried"`
}

func main() {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for in.More() {
		var asked question
		if err := in.Decode(&asked); err != nil {
			log.Fatal(err)
		}
		if err := encoder.Encode(choose(asked)); err != nil {
			log.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func choose(asked question) answer {
	none := &credentialprovider.BasicDockerKeyring{}
	keyring, err := secrets.MakeDockerKeyring(asked.Secrets, none)
	if err != nil {
		return answer{Error: err.Error()}
	}
	tried := []credential{}
	found, _ := keyring.Lookup(asked.Image)
	for _, one := range found {
		name := one.Source.Secret.Name
		tried = append(tried, credential{name, []byte(one.Username), []byte(one.Password)})
	}
	return answer{Tried: tried}
}
