package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// push makes all bodies, then has clients post them, each one after the other, and prints how long the answers took.
func push(url string, n, batch uint64, clients int, seed uint64) {
	var bodies [][]byte
	for i := uint64(0); i < n; i += batch {
		b := append([]byte(`{"batchId":"`), strconv.FormatUint(i/batch, 10)...)
		b = append(b, `","records":[`...)
		for k := i; k < min(i+batch, n); k++ {
			if k > i {
				b = append(b, ',')
			}
			b = append(rec(append(b, `{"data":`...), k, seed), '}')
		}
		bodies = append(bodies, append(b, "]}"...))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	times := make([]time.Duration, len(bodies))
	var next atomic.Int64
	var working sync.WaitGroup
	begun := time.Now()
	for range clients {
		working.Add(1)
		go func() {
			defer working.Done()
			for i := int(next.Add(1) - 1); i < len(bodies); i = int(next.Add(1) - 1) {
				sent := time.Now()
				for !post(client, url, bodies[i]) {
					time.Sleep(10 * time.Millisecond)
				}
				times[i] = time.Since(sent)
			}
		}()
	}
	working.Wait()
	seconds := time.Since(begun).Seconds()
	slices.Sort(times)
	at := func(share float64) float64 {
		return times[int(float64(len(times)-1)*share)].Seconds() * 1000
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"records": n, "seconds": seconds, "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1),
	})
}

// post sends one body; false: the node asks to wait, for more is received than delivered.
func post(client *http.Client, url string, body []byte) bool {
	answer, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	words, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	switch {
	case err != nil:
		log.Fatal(err)
	case answer.StatusCode == http.StatusTooManyRequests:
		return false
	case answer.StatusCode != http.StatusOK:
		log.Fatal(fmt.Sprintf("%s answered %s: %s", url, answer.Status, words))
	}
	return true
}
