// What Grafana's PostgreSQL data source does with pgx, and what pgx does by itself (see facts in docs/connect.md).
// Usage: pgx URL. Prints one JSON object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

type frame struct {
	Tag    string     `json:"tag"`
	Select bool       `json:"select"`
	Names  []string   `json:"names"`
	Oids   []uint32   `json:"oids"`
	Rows   [][]string `json:"rows"`
}

// One Query message, text results, several statements: pkg/tsdb/grafana-postgresql-datasource/pgx/sql_engine.go.
func grafana(ctx context.Context, conn *pgconn.PgConn, sql string) ([]frame, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	frames := []frame{}
	for _, result := range results {
		f := frame{Tag: result.CommandTag.String(), Select: result.CommandTag.Select(), Names: []string{}, Oids: []uint32{}, Rows: [][]string{}}
		for _, field := range result.FieldDescriptions {
			f.Names = append(f.Names, field.Name)
			f.Oids = append(f.Oids, field.DataTypeOID)
		}
		for _, row := range result.Rows {
			values := []string{}
			for _, value := range row {
				if value == nil {
					values = append(values, "<null>")
				} else {
					values = append(values, string(value))
				}
			}
			f.Rows = append(f.Rows, values)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	ctx := context.Background()
	out := map[string]any{}
	config := must(pgxpool.ParseConfig(os.Args[1]))
	config.MaxConns = 4
	pool := must(pgxpool.NewWithConfig(ctx, config))
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		must(0, err)
	}
	conn := must(pool.Acquire(ctx))
	frames := map[string][]frame{}
	for _, sql := range os.Args[2:] {
		found, err := grafana(ctx, conn.Conn().PgConn(), sql)
		if err != nil {
			var pgErr *pgconn.PgError
			if errors.As(err, &pgErr) {
				frames[sql] = []frame{{Tag: pgErr.Code}}
				continue
			}
			must(0, err)
		}
		frames[sql] = found
	}
	out["frames"] = frames
	conn.Release()

	// Extended protocol, binary results: pgx's own way.
	var text string
	var at time.Time
	var count int64
	var tags []string
	var score float64
	row := pool.QueryRow(ctx, "select text, created_at, reposts, hashtags, latitude from posts where post_id = $1 and created_at >= $2 and log_offset = $3",
		"348000000000000001", time.Date(2013, 6, 20, 0, 0, 0, 0, time.UTC), 1)
	must(0, row.Scan(&text, &at, &count, &tags, &score))
	out["row"] = []any{text, at.UTC().Format(time.RFC3339Nano), count, tags, score}
	rows := must(pool.Query(ctx, "select event_id, count(*), sum(reposts), max(created_at)::date, avg(reposts) from posts where event_id = any($1) group by 1", []string{"flood-2013", "x"}))
	found := must(pgx.CollectRows(rows, pgx.RowToMap))
	out["groups"] = fmt.Sprint(found)
	for i := 0; i < 10; i++ { // the statement cache prepares once and describes
		var n int64
		must(0, pool.QueryRow(ctx, "select count(*) from posts where log_offset < $1", 10+i).Scan(&n))
		if n != int64(10+i) {
			must(0, fmt.Errorf("counted %d of %d", n, 10+i))
		}
	}

	// A panel that takes too long: the context ends, pgx closes and cancels on a connection of its own.
	slow, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	started := time.Now()
	busy := must(pool.Acquire(ctx))
	_, err := grafana(slow, busy.Conn().PgConn(), "select count(*) from posts a, posts b, posts c, posts d where a.log_offset + b.log_offset + c.log_offset = d.log_offset * 7")
	cancel()
	out["timeout"] = err != nil && time.Since(started) < 5*time.Second
	busy.Release()
	var one int
	must(0, pool.QueryRow(ctx, "select 1").Scan(&one))
	out["after"] = one
	must(0, json.NewEncoder(os.Stdout).Encode(out))
}
