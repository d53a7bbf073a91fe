// gen: deterministic user events as JSON lines: to a file, to a Kafka topic, or pushed to a pipeline.
//
//	gen -n 1000000 -file users.jsonl
//	gen -n 1000000 -kafka 127.0.0.1:9092 -topic user-events -partitions 4
//	gen -n 1000000 -push http://127.0.0.1:8080/api/pipelines/orders -clients 4 -batch 1000
//
// Record i is a function of i and the seed alone (splitmix64), so every run gives
// the same bytes. ts advances 10 ms per record (1M records = 10,000 s of event time,
// 167 one-minute windows).
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var first = []string{"Anna", "Bruno", "Chidi", "Dana", "Emeka", "Farah", "Goran", "Hana", "Ivan", "Jia", "Kofi", "Lena", "Mateo", "Nadia", "Omar", "Petra", "Quinn", "Ravi", "Sofia", "Tariq", "Uma", "Viktor", "Wei", "Ximena", "Yusuf", "Zoe"}
var last = []string{"Andersson", "Brown", "Castillo", "Dubois", "Eze", "Fischer", "Garcia", "Hansen", "Ivanova", "Jones", "Kowalski", "Lopez", "Meyer", "Nakamura", "Okafor", "Petrov", "Rossi", "Singh", "Tanaka", "Usman", "Virtanen", "Wang", "Yilmaz", "Zhang"}
var country = []string{"DE", "FR", "US", "GB", "JP", "IN", "BR", "NG", "SE", "PL", "ES", "IT", "CA", "MX", "KR", "ZA", "AU", "NL", "TR", "AR"}
var city = []string{"Berlin", "Paris", "Austin", "Leeds", "Osaka", "Pune", "Recife", "Lagos", "Malmo", "Gdansk", "Sevilla", "Torino", "Calgary", "Puebla", "Busan", "Durban", "Perth", "Utrecht", "Izmir", "Rosario"}
var tag = []string{"new", "vip", "web", "mobile", "promo", "trial", "beta", "churned"}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

var base = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func lower(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 32
		}
		b = append(b, c)
	}
	return b
}

func pad(b []byte, v uint64, w int) []byte {
	var t [20]byte
	s := strconv.AppendUint(t[:0], v, 10)
	for i := len(s); i < w; i++ {
		b = append(b, '0')
	}
	return append(b, s...)
}

// rec appends record i (no newline).
func rec(b []byte, i uint64, seed uint64) []byte {
	r := mix(i ^ seed*0x5851f42d4c957f2d)
	r2 := mix(r)
	fn, ln := first[r%26], last[(r>>8)%24]
	c := (r >> 16) % 20
	age := 17 + (r>>24)%64 // 17..80; age > 18 keeps 62/64 = 96.9 %
	cents := 1 + (r>>32)%50000
	b = append(b, `{"id":"u-`...)
	b = pad(b, i, 7)
	b = append(b, `","user_id":`...)
	b = strconv.AppendUint(b, r2%100000, 10)
	b = append(b, `,"name":"`...)
	b = append(b, fn...)
	b = append(b, ' ')
	b = append(b, ln...)
	b = append(b, `","email":"`...)
	b = lower(b, fn)
	b = append(b, '.')
	b = lower(b, ln)
	b = strconv.AppendUint(b, r2%100000, 10)
	b = append(b, `@example.com","age":`...)
	b = strconv.AppendUint(b, age, 10)
	b = append(b, `,"country":"`...)
	b = append(b, country[c]...)
	b = append(b, `","amount":`...)
	b = strconv.AppendUint(b, cents/100, 10)
	b = append(b, '.')
	b = pad(b, cents%100, 2)
	b = append(b, `,"ts":"`...)
	b = base.Add(time.Duration(i)*10*time.Millisecond).AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","tags":["`...)
	b = append(b, tag[(r2>>20)%8]...)
	b = append(b, `","`...)
	b = append(b, tag[(r2>>24)%8]...)
	b = append(b, `"],"address":{"city":"`...)
	b = append(b, city[c]...)
	b = append(b, `","zip":"`...)
	b = pad(b, (r2>>32)%100000, 5)
	return append(b, `"}}`...)
}

// Prints the committed records of a topic up to these offsets.
func print(ctx context.Context, kafka, topic string, ends kadm.ListedOffsets) {
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		log.Fatal(err)
	}
	defer cl.Close()
	w := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer w.Flush()
	for len(left) > 0 {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			log.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				w.Write(r.Value)
				w.WriteByte('\n')
			}
			if end, waits := left[r.Partition]; waits && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
}

func main() {
	n := flag.Uint64("n", 1000000, "records")
	seed := flag.Uint64("seed", 1, "seed")
	file := flag.String("file", "", "output file")
	kafka := flag.String("kafka", "", "bootstrap servers")
	topic := flag.String("topic", "user-events", "topic")
	parts := flag.Int("partitions", 1, "partitions (topic is deleted and made anew)")
	count := flag.String("count", "", "only print record count (sum of end - start offsets) of this topic")
	show := flag.String("show", "", "only print the committed records of this topic, one a line")
	mk := flag.String("mk", "", "only (re)create this topic, empty")
	url := flag.String("push", "", "URL of a pipeline with an http source")
	clients := flag.Int("clients", 4, "clients that push at once")
	batch := flag.Uint64("batch", 1000, "records in a pushed batch")
	flag.Parse()
	if *file != "" {
		f, err := os.Create(*file)
		if err != nil {
			log.Fatal(err)
		}
		w := bufio.NewWriterSize(f, 1<<20)
		b := make([]byte, 0, 1024)
		for i := uint64(0); i < *n; i++ {
			b = append(rec(b[:0], i, *seed), '\n')
			w.Write(b)
		}
		w.Flush()
		f.Close()
	}
	if *url != "" {
		push(*url+"/batches", *n, *batch, *clients, *seed)
	}
	if *kafka == "" {
		return
	}
	ctx := context.Background()
	cl, err := kgo.NewClient(kgo.SeedBrokers(*kafka), kgo.DefaultProduceTopic(*topic),
		kgo.ProducerLinger(20*time.Millisecond), kgo.MaxBufferedRecords(100000),
		kgo.ProducerBatchMaxBytes(900000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		log.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if *count != "" {
		st, _ := adm.ListStartOffsets(ctx, *count)
		en, err := adm.ListEndOffsets(ctx, *count)
		if err != nil {
			log.Fatal(err)
		}
		var s int64
		en.Each(func(o kadm.ListedOffset) {
			a, _ := st.Lookup(o.Topic, o.Partition)
			s += o.Offset - a.Offset
		})
		fmt.Println(s)
		return
	}
	if *show != "" {
		en, err := adm.ListCommittedOffsets(ctx, *show)
		if err != nil {
			log.Fatal(err)
		}
		print(ctx, *kafka, *show, en)
		return
	}
	t := *topic
	if *mk != "" {
		t = *mk
	}
	adm.DeleteTopics(ctx, t)
	for k := 0; ; k++ {
		time.Sleep(300 * time.Millisecond)
		r, err := adm.CreateTopic(ctx, int32(*parts), 1, nil, t)
		if err == nil && r.Err == nil {
			break
		}
		if k > 100 {
			log.Fatal(err, r.Err)
		}
	}
	time.Sleep(500 * time.Millisecond)
	if *mk != "" {
		return
	}
	var failed atomic.Int64
	for i := uint64(0); i < *n; i++ {
		v := rec(make([]byte, 0, 320), i, *seed)
		cl.Produce(ctx, &kgo.Record{Key: []byte(v[7:16]), Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("produced", *n, "failed", failed.Load())
}
