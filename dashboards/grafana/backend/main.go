// What Grafana's PostgreSQL data source makes of an answer: one simple Query message through pgx, text results decoded by the
// OID of each column, the time column as a time, values as floats, long series as wide ones; for alerts, one number per set of
// labels. Written anew after pkg/tsdb/grafana-postgresql-datasource (Grafana 12.4 and later).
// Usage: backend URL < [{"name", "sql", "format", "kind"}]. Prints one JSON array of frames in the same order.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

type asked struct {
	Name   string `json:"name"`
	SQL    string `json:"sql"`
	Format string `json:"format"` // table or time_series
	Kind   string `json:"kind"`   // panel, variable, annotation or alert
}

type frame struct {
	Name   string             `json:"name"`
	Error  string             `json:"error"`
	Rows   int                `json:"rows"`
	Fields []string           `json:"fields"` // "name type", type as Grafana's field type
	Series []string           `json:"series"` // names of the wide series, sorted as they came
	From   string             `json:"from"`
	To     string             `json:"to"`
	Sums   map[string]float64 `json:"sums"`
	Labels []string           `json:"labels"` // of alerts: the labels of each instance
}

// The type of a field by the type of its column: getFieldTypesFromDescriptions.
func fieldType(types *pgtype.Map, oid uint32) (string, error) {
	found, ok := types.TypeForOID(oid)
	if !ok {
		return "", fmt.Errorf("unknown data type oid: %d", oid)
	}
	switch found.Name {
	case "int2", "int4", "int8":
		return "int", nil
	case "float4", "float8", "numeric":
		return "float", nil
	case "bool":
		return "bool", nil
	case "timestamptz", "timestamp", "date":
		return "time", nil
	default:
		return "string", nil
	}
}

func decode(types *pgtype.Map, field pgconn.FieldDescription, kind string, raw []byte) (any, error) {
	if raw == nil {
		return nil, nil
	}
	var err error
	switch kind {
	case "int":
		var value int64
		err = types.PlanScan(field.DataTypeOID, field.Format, &value).Scan(raw, &value)
		return float64(value), err
	case "float":
		var value float64
		err = types.PlanScan(field.DataTypeOID, field.Format, &value).Scan(raw, &value)
		return value, err
	case "time":
		var value time.Time
		err = types.PlanScan(field.DataTypeOID, field.Format, &value).Scan(raw, &value)
		return value, err
	case "bool":
		var value bool
		err = types.PlanScan(field.DataTypeOID, field.Format, &value).Scan(raw, &value)
		return value, err
	default:
		return string(raw), nil
	}
}

// epochPrecisionToMS: seconds and nanoseconds are told by their exponent, all else is milliseconds.
func epochMs(value float64) float64 {
	text := strconv.FormatFloat(value, 'e', -1, 64)
	if strings.HasSuffix(text, "e+09") {
		return value * 1e3
	}
	if strings.HasSuffix(text, "e+18") {
		return value / float64(time.Millisecond)
	}
	return value
}

func toFrame(question asked, results []*pgconn.Result) (frame, error) {
	out := frame{Name: question.Name, Fields: []string{}, Series: []string{}, Sums: map[string]float64{}, Labels: []string{}}
	types := pgtype.NewMap()
	if len(results) != 1 || !results[0].CommandTag.Select() {
		return out, errors.New("not one SELECT")
	}
	result := results[0]
	out.Rows = len(result.Rows)
	timeAt, metricAt := -1, -1
	kinds := []string{}
	for i, field := range result.FieldDescriptions {
		kind, err := fieldType(types, field.DataTypeOID)
		if err != nil {
			return out, err
		}
		kinds = append(kinds, kind)
		out.Fields = append(out.Fields, field.Name+" "+kind)
		if field.Name == "time" {
			timeAt = i
		}
		if field.Name == "metric" {
			metricAt = i
		}
	}
	if out.Rows == 0 {
		return out, nil // Grafana shows "no data", whatever the columns are
	}
	series := question.Format == "time_series"
	if series && timeAt == -1 {
		return out, errors.New("db has no time column")
	}
	var before time.Time
	seen := map[string]bool{}
	for index, row := range result.Rows {
		name, at, values, labels := "", time.Time{}, []float64{}, []string{}
		for i, field := range result.FieldDescriptions {
			value, err := decode(types, field, kinds[i], row[i])
			if err != nil {
				return out, fmt.Errorf("column %s: %w", field.Name, err)
			}
			switch got := value.(type) {
			case time.Time:
				if i == timeAt {
					at = got
				}
			case float64:
				if i == timeAt {
					at = time.UnixMilli(int64(epochMs(got)))
				} else {
					values = append(values, got)
					out.Sums[field.Name] += got
				}
			case string:
				labels = append(labels, field.Name+"="+got)
				if i == metricAt {
					name = got
				}
			}
		}
		if timeAt >= 0 {
			if at.IsZero() {
				return out, fmt.Errorf("row %d has no time", index)
			}
			if series && at.Before(before) {
				return out, errors.New("failed to convert long to wide series: not sorted ascending by time")
			}
			if index == 0 {
				out.From = at.UTC().Format(time.RFC3339)
			}
			out.To = at.UTC().Format(time.RFC3339)
			before = at
		}
		if series {
			if len(values) != 1 {
				return out, fmt.Errorf("row %d has %d values", index, len(values))
			}
			point := at.String() + " " + name
			if seen[point] {
				return out, fmt.Errorf("two values for %s", point) // the later one would win, unseen
			}
			seen[point] = true
			if !seen["series "+name] {
				seen["series "+name] = true
				out.Series = append(out.Series, name)
			}
		}
		if question.Kind == "alert" {
			key := strings.Join(labels, ",")
			if len(values) != 1 || seen[key] {
				return out, fmt.Errorf("an alert needs one number for each set of labels: %s has %d", key, len(values))
			}
			seen[key] = true
			out.Labels = append(out.Labels, key)
		}
	}
	return out, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Args[1])
	if err != nil {
		fail(err)
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil { // the data source's health check
		fail(err)
	}
	var questions []asked
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		fail(err)
	}
	frames := []frame{}
	for _, question := range questions {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			fail(err)
		}
		results, err := conn.Conn().PgConn().Exec(ctx, question.SQL).ReadAll()
		conn.Release()
		made := frame{Name: question.Name}
		if err == nil {
			made, err = toFrame(question, results)
		}
		if err != nil {
			made.Error = err.Error()
		}
		frames = append(frames, made)
	}
	if err := json.NewEncoder(os.Stdout).Encode(frames); err != nil {
		fail(err)
	}
}
