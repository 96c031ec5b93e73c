// Driver of franz-go; see tests/clients/PROTOCOL.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const waitMax = 20 * time.Second

// Record is a record as the protocol shows it; encoding/json writes a []byte as base64 and a nil one as null.
type Record struct {
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Timestamp int64   `json:"timestamp"`
	Key       []byte  `json:"key"`
	Value     []byte  `json:"value"`
	Headers   [][]any `json:"headers"`
}

// Request holds the arguments of every operation.
type Request struct {
	Op         string            `json:"op"`
	Topic      string            `json:"topic"`
	Group      string            `json:"group"`
	Codec      string            `json:"codec"`
	Configs    map[string]string `json:"configs"`
	Before     map[string]int64  `json:"before"`
	Records    []Record          `json:"records"`
	Partitions json.RawMessage   `json:"partitions"` // a number in create_topic, a list in consume
	Count      int               `json:"count"`
	Timestamp  int64             `json:"timestamp"`
	Idempotent bool              `json:"idempotent"`
	ID         string            `json:"id"`
	Aborted    []Record          `json:"aborted"`
	Committed  []Record          `json:"committed"`
}

type answer = map[string]any

type driver struct {
	bootstrap string
	admin     *kadm.Client
}

type operation func(context.Context, Request) (answer, error)

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer client.Close()
	d := &driver{bootstrap: os.Args[1], admin: kadm.NewClient(client)}
	operations := map[string]operation{
		"create_topic": d.createTopic, "list_topics": d.listTopics, "describe_topic": d.describeTopic,
		"describe_configs": d.describeConfigs, "alter_configs": d.alterConfigs,
		"create_partitions": d.createPartitions, "delete_records": d.deleteRecords, "delete_topic": d.deleteTopic,
		"produce": d.produce, "consume": d.consume, "consume_from_time": d.consumeFromTime,
		"group_of_two": d.groupOfTwo, "consume_group": d.consumeGroup, "committed": d.committed,
		"describe_group": d.describeGroup, "list_groups": d.listGroups, "delete_group": d.deleteGroup,
		"transaction": d.transaction, "consume_committed": d.consumeCommitted,
	}
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(answer{
		"client": "franz-go " + version(), "codecs": []string{"none", "gzip", "snappy", "lz4", "zstd"},
		"can": names, "lacks": answer{"group_of_two_848": "not in this release by a public option"},
	})
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		_ = out.Encode(serve(operations, line))
	}
}

func serve(operations map[string]operation, line []byte) answer {
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return answer{"error": err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	ok, err := operations[request.Op](ctx, request)
	if err != nil {
		return answer{"error": err.Error()}
	}
	return answer{"ok": ok}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return module.Version
		}
	}
	return "unknown"
}

// --- topics -------------------------------------------------------------------------------------------------------

func (d *driver) createTopic(ctx context.Context, request Request) (answer, error) {
	var partitions int32
	if err := json.Unmarshal(request.Partitions, &partitions); err != nil {
		return nil, err
	}
	configs := map[string]*string{}
	for name, value := range request.Configs {
		configs[name] = kadm.StringPtr(value)
	}
	created, err := d.admin.CreateTopic(ctx, partitions, 1, configs, request.Topic)
	return answer{}, errors.Join(err, created.Err)
}

func (d *driver) listTopics(ctx context.Context, _ Request) (answer, error) {
	topics, err := d.admin.ListTopics(ctx)
	return answer{"topics": topics.Names()}, err
}

func (d *driver) describeTopic(ctx context.Context, request Request) (answer, error) {
	topics, err := d.admin.ListTopics(ctx, request.Topic)
	if err != nil {
		return nil, err
	}
	topic := topics[request.Topic]
	return answer{"partitions": len(topic.Partitions)}, topic.Err
}

func (d *driver) describeConfigs(ctx context.Context, request Request) (answer, error) {
	described, err := d.admin.DescribeTopicConfigs(ctx, request.Topic)
	if err != nil {
		return nil, err
	}
	configs := answer{}
	for _, each := range described[0].Configs {
		configs[each.Key] = each.Value
	}
	return answer{"configs": configs}, described[0].Err
}

func (d *driver) alterConfigs(ctx context.Context, request Request) (answer, error) {
	var changes []kadm.AlterConfig
	for name, value := range request.Configs {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr(value)})
	}
	altered, err := d.admin.AlterTopicConfigs(ctx, changes, request.Topic)
	if err != nil {
		return nil, err
	}
	return answer{}, altered[0].Err
}

func (d *driver) createPartitions(ctx context.Context, request Request) (answer, error) {
	created, err := d.admin.UpdatePartitions(ctx, request.Count, request.Topic)
	if err != nil {
		return nil, err
	}
	return answer{}, created.Error()
}

func (d *driver) deleteRecords(ctx context.Context, request Request) (answer, error) {
	before := kadm.Offsets{}
	for text, offset := range request.Before {
		partition, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		before.AddOffset(request.Topic, int32(partition), offset, -1)
	}
	deleted, err := d.admin.DeleteRecords(ctx, before)
	if err != nil {
		return nil, err
	}
	return answer{}, deleted.Error()
}

func (d *driver) deleteTopic(ctx context.Context, request Request) (answer, error) {
	deleted, err := d.admin.DeleteTopic(ctx, request.Topic)
	return answer{}, errors.Join(err, deleted.Err)
}

// --- records ------------------------------------------------------------------------------------------------------

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (d *driver) produce(ctx context.Context, request Request) (answer, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(d.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[request.Codec]), kgo.ProducerLinger(20 * time.Millisecond),
	}
	if !request.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	records, err := toSend(request.Topic, request.Records)
	if err != nil {
		return nil, err
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, err
	}
	offsets := make([]int64, len(records))
	for i, record := range records {
		offsets[i] = record.Offset
	}
	return answer{"offsets": offsets}, nil
}

func toSend(topic string, records []Record) ([]*kgo.Record, error) {
	made := make([]*kgo.Record, len(records))
	for i, each := range records {
		headers, err := headersOf(each)
		if err != nil {
			return nil, err
		}
		made[i] = &kgo.Record{
			Topic: topic, Partition: each.Partition, Timestamp: time.UnixMilli(each.Timestamp),
			Key: each.Key, Value: each.Value, Headers: headers,
		}
	}
	return made, nil
}

func (d *driver) transaction(ctx context.Context, request Request) (answer, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(d.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(request.ID),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for _, part := range []struct {
		records []Record
		end     kgo.TransactionEndTry
	}{{request.Aborted, kgo.TryAbort}, {request.Committed, kgo.TryCommit}} {
		records, err := toSend(request.Topic, part.records)
		if err != nil {
			return nil, err
		}
		if err := client.BeginTransaction(); err != nil {
			return nil, err
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return nil, err
		}
		if err := client.EndTransaction(ctx, part.end); err != nil {
			return nil, err
		}
	}
	return answer{}, nil
}

func (d *driver) consumeCommitted(ctx context.Context, request Request) (answer, error) {
	return d.consumeWith(ctx, request, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

func (d *driver) consume(ctx context.Context, request Request) (answer, error) {
	return d.consumeWith(ctx, request)
}

func (d *driver) consumeWith(ctx context.Context, request Request, options ...kgo.Opt) (answer, error) {
	var partitions []int32
	if err := json.Unmarshal(request.Partitions, &partitions); err != nil {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	for _, partition := range partitions {
		from[partition] = kgo.NewOffset().AtStart()
	}
	records, err := d.readFrom(ctx, request, from, options...)
	return answer{"records": records}, err
}

func (d *driver) consumeFromTime(ctx context.Context, request Request) (answer, error) {
	listed, err := d.admin.ListOffsetsAfterMilli(ctx, request.Timestamp, request.Topic)
	if err != nil {
		return nil, err
	}
	offsets, from := answer{}, map[int32]kgo.Offset{}
	for partition, found := range listed[request.Topic] {
		if found.Err != nil {
			return nil, found.Err
		}
		// kadm answers the end of the partition, without a time, where Kafka has no such record.
		if found.Timestamp < 0 {
			offsets[strconv.Itoa(int(partition))] = nil
			continue
		}
		offsets[strconv.Itoa(int(partition))] = found.Offset
		from[partition] = kgo.NewOffset().At(found.Offset)
	}
	records, err := d.readFrom(ctx, request, from)
	return answer{"offsets": offsets, "records": records}, err
}

func (d *driver) readFrom(
	ctx context.Context, request Request, from map[int32]kgo.Offset, options ...kgo.Opt,
) ([]Record, error) {
	client, err := kgo.NewClient(append(
		options, kgo.SeedBrokers(d.bootstrap), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{request.Topic: from}),
	)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return read(ctx, request.Count, client)
}

// read polls the clients in turn until they have that many records together.
func read(ctx context.Context, count int, clients ...*kgo.Client) ([]Record, error) {
	records := []Record{}
	for len(records) < count {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read %d of %d records: %w", len(records), count, err)
		}
		for _, client := range clients {
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			fetches := client.PollFetches(short)
			cancel()
			for _, failed := range fetches.Errors() {
				if !errors.Is(failed.Err, context.DeadlineExceeded) {
					return nil, failed.Err
				}
			}
			fetches.EachRecord(func(record *kgo.Record) { records = append(records, shown(record)) })
		}
	}
	return records, nil
}

func headersOf(record Record) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, pair := range record.Headers {
		header := kgo.RecordHeader{Key: pair[0].(string)}
		if pair[1] != nil {
			quoted, _ := json.Marshal(pair[1])
			if err := json.Unmarshal(quoted, &header.Value); err != nil {
				return nil, err
			}
		}
		headers = append(headers, header)
	}
	return headers, nil
}

func shown(record *kgo.Record) Record {
	headers := [][]any{}
	for _, header := range record.Headers {
		headers = append(headers, []any{header.Key, header.Value})
	}
	return Record{
		Partition: record.Partition, Offset: record.Offset, Timestamp: record.Timestamp.UnixMilli(),
		Key: record.Key, Value: record.Value, Headers: headers,
	}
}

// --- groups -------------------------------------------------------------------------------------------------------

// member is a client in a group that knows what it owns.
type member struct {
	client *kgo.Client
	owned  chan map[int32]bool // holds one value: the partitions owned now
}

func (d *driver) join(request Request) (*member, error) {
	m := &member{owned: make(chan map[int32]bool, 1)}
	m.owned <- map[int32]bool{}
	change := func(owns bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			owned := <-m.owned
			for _, partition := range partitions[request.Topic] {
				if owns {
					owned[partition] = true
				} else {
					delete(owned, partition)
				}
			}
			m.owned <- owned
		}
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(d.bootstrap), kgo.ConsumerGroup(request.Group), kgo.ConsumeTopics(request.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.SessionTimeout(10*time.Second), kgo.OnPartitionsAssigned(change(true)),
		kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)),
	)
	m.client = client
	return m, err
}

func (m *member) partitions() []int {
	owned := <-m.owned
	defer func() { m.owned <- owned }()
	numbers := []int{}
	for partition := range owned {
		numbers = append(numbers, int(partition))
	}
	sort.Ints(numbers)
	return numbers
}

func (d *driver) groupOfTwo(ctx context.Context, request Request) (answer, error) {
	topics, err := d.admin.ListTopics(ctx, request.Topic)
	if err != nil {
		return nil, err
	}
	all := len(topics[request.Topic].Partitions)
	first, err := d.join(request)
	if err != nil {
		return nil, err
	}
	defer first.client.Close()
	if err := until(ctx, func() bool { return len(first.partitions()) == all }); err != nil {
		return nil, fmt.Errorf("the first member owns %v: %w", first.partitions(), err)
	}
	alone := first.partitions()
	second, err := d.join(request)
	if err != nil {
		return nil, err
	}
	defer second.client.Close()
	shared := func() bool { return len(first.partitions()) == all/2 && len(second.partitions()) == all-all/2 }
	if err := until(ctx, shared); err != nil {
		return nil, fmt.Errorf("the members own %v and %v: %w", first.partitions(), second.partitions(), err)
	}
	together := [][]int{first.partitions(), second.partitions()}
	// franz-go moves partitions one rebalance at a time: the group is stable a moment after the members own theirs.
	var described answer
	err = until(ctx, func() bool {
		described, err = d.describeGroup(ctx, request)
		return err != nil || described["state"] == "Stable"
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.produce(ctx, Request{Topic: request.Topic, Codec: "none", Records: request.Records}); err != nil {
		return nil, err
	}
	records, err := read(ctx, len(request.Records), first.client, second.client)
	if err != nil {
		return nil, err
	}
	for _, m := range []*member{first, second} {
		if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
			return nil, err
		}
	}
	return answer{"alone": alone, "together": together, "records": records, "described": described}, nil
}

func (d *driver) consumeGroup(ctx context.Context, request Request) (answer, error) {
	m, err := d.join(request)
	if err != nil {
		return nil, err
	}
	defer m.client.Close()
	records, err := read(ctx, request.Count, m.client)
	if err != nil {
		return nil, err
	}
	return answer{"records": records}, m.client.CommitUncommittedOffsets(ctx)
}

func (d *driver) committed(ctx context.Context, request Request) (answer, error) {
	fetched, err := d.admin.FetchOffsets(ctx, request.Group)
	if err != nil {
		return nil, err
	}
	offsets := answer{}
	for partition, each := range fetched[request.Topic] {
		offsets[strconv.Itoa(int(partition))] = each.At
	}
	return answer{"offsets": offsets}, fetched.Error()
}

func (d *driver) describeGroup(ctx context.Context, request Request) (answer, error) {
	groups, err := d.admin.DescribeGroups(ctx, request.Group)
	if err != nil {
		return nil, err
	}
	group := groups[request.Group]
	return answer{"state": group.State, "members": len(group.Members)}, group.Err
}

func (d *driver) listGroups(ctx context.Context, _ Request) (answer, error) {
	groups, err := d.admin.ListGroups(ctx)
	return answer{"groups": groups.Groups()}, err
}

func (d *driver) deleteGroup(ctx context.Context, request Request) (answer, error) {
	deleted, err := d.admin.DeleteGroup(ctx, request.Group)
	return answer{}, errors.Join(err, deleted.Err)
}

func until(ctx context.Context, holds func() bool) error {
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
