/**
 * What a statement may call, by name: DuckDB v1.5.5's `duckdb_functions()` gone through once. Everything else is
 * refused, so a function of a later version is refused until somebody has looked at it; a test compares these lists
 * with the engine.
 */

const words = (...lines: string[]): readonly string[] => lines.flatMap((line) => line.split(' '));

const operators = words(
  '!__postfix !~~ !~~* % & && * ** + - ->> / // <-> << <=> <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~ xor',
  'add subtract multiply divide mod like_escape ilike_escape not_like_escape not_ilike_escape',
);

const numbers = words(
  'abs acos acosh asin asinh atan atan2 atanh bin bit_count bit_length bit_position bitstring cbrt ceil ceiling cos cosh cot degrees even exp',
  'factorial fdiv floor fmod gamma gcd get_bit greatest_common_divisor greatest hamming hash hex isfinite isinf isnan lcm',
  'least_common_multiple least lgamma ln log log10 log2 nextafter pi pow power radians random round round_even roundbankers set_bit sign',
  'signbit sin sinh sqrt tan tanh to_base to_binary to_hex trunc unbin unhex from_binary from_hex geomean geometric_mean nullif constant_or_null',
);

const texts = words(
  'ascii bar base64 from_base64 to_base64 char_length character_length chr concat concat_ws contains damerau_levenshtein decode editdist3',
  'encode ends_with format formatReadableDecimalSize formatReadableSize format_bytes instr jaccard jaro_similarity jaro_winkler_similarity',
  'lcase left left_grapheme len length length_grapheme levenshtein lower lpad ltrim md5 md5_number md5_number_lower md5_number_upper mismatches',
  'nfc_normalize octet_length ord parse_dirname parse_dirpath parse_filename parse_path parse_formatted_bytes pg_size_pretty position prefix',
  'printf regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace regexp_split_to_array',
  'regexp_split_to_table repeat replace reverse right right_grapheme rpad rtrim sha1 sha256 split split_part starts_with str_split',
  'str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos substr substring substring_grapheme suffix',
  'translate trim ucase unicode upper url_decode url_encode',
);

const times = words(
  'age ago century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub date_trunc datediff datepart',
  'datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us era',
  'get_current_time get_current_timestamp hour isodow isoyear julian last_day make_date make_time make_timestamp make_timestamp_ms',
  'make_timestamp_ns make_timestamptz microsecond millennium millisecond minute month monthname nanosecond normalized_interval now quarter',
  'second strftime strptime time_bucket timetz_byte_comparable timezone timezone_hour timezone_minute to_centuries to_days to_decades to_hours',
  'to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today',
  'transaction_timestamp try_strptime week weekday weekofyear year yearweek',
);

const nested = words(
  'aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains array_cosine_distance',
  'array_cosine_similarity array_cross_product array_distance array_distinct array_dot_product array_extract array_filter array_grade_up array_has',
  'array_has_all array_has_any array_indexof array_inner_product array_intersect array_length array_negative_dot_product',
  'array_negative_inner_product array_pop_back array_pop_front array_position array_prepend array_push_back array_push_front array_reduce',
  'array_resize array_reverse array_reverse_sort array_select array_slice array_sort array_to_json array_to_string',
  'array_to_string_comma_default array_transform array_unique array_value array_where array_zip cardinality element_at enum_code enum_first',
  'enum_last enum_range enum_range_boundary equi_width_bins filter flatten generate_series generate_subscripts grade_up list_aggr',
  'list_aggregate list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor',
  'list_bool_and list_bool_or list_cat list_concat list_contains list_cosine_distance list_cosine_similarity list_count list_distance',
  'list_distinct list_dot_product list_element list_entropy list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any',
  'list_histogram list_indexof list_inner_product list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median',
  'list_min list_mode list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend list_product list_reduce',
  'list_resize list_reverse list_reverse_sort list_select list_sem list_skewness list_slice list_sort list_stddev_pop list_stddev_samp',
  'list_string_agg list_sum list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip map map_concat map_contains',
  'map_contains_entry map_contains_value map_entries map_extract map_extract_value map_from_entries map_keys map_values range reduce remap_struct',
  'row struct_concat struct_contains struct_extract struct_extract_at struct_has struct_indexof struct_insert struct_keys struct_pack',
  'struct_position struct_update struct_values switch union_extract union_tag union_value unnest unpivot_list variant_extract variant_normalize',
  'variant_typeof',
);

const json = words(
  'from_json from_json_strict json json_array json_array_length json_contains json_exists json_extract json_extract_path',
  'json_extract_path_text json_extract_string json_group_array json_group_object json_group_structure json_keys json_merge_patch json_object',
  'json_pretty json_quote json_structure json_transform json_transform_strict json_type json_valid json_value row_to_json to_json',
);

const others = words(
  'alias can_cast_implicitly cast_to_type col_description current_catalog current_database current_role current_schema current_schemas',
  'current_user error gen_random_uuid get_type icu_sort_key in_search_path make_type obj_description pg_typeof replace_type session_user',
  'shobj_description st_asbinary st_astext st_aswkb st_aswkt st_crs st_geomfromwkb st_intersects_extent st_setcrs typeof user uuid',
  'uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 version is_histogram_other_bin',
);

const aggregates = words(
  'any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null',
  'arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or bit_xor bitstring_agg bool_and bool_or corr count count_if count_star countif',
  'covar_pop covar_samp cume_dist dense_rank entropy favg fill first first_value fsum group_concat histogram histogram_exact kahan_sum',
  'kurtosis kurtosis_pop lag last last_value lead list listagg mad max max_by mean median min min_by mode nth_value ntile percent_rank product',
  'quantile quantile_cont quantile_disc rank rank_dense regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy',
  'regr_syy reservoir_quantile row_number sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan var_pop var_samp',
  'variance wavg weighted_avg',
);

/** Scalar, aggregate and window functions and operators, in lower case. */
export const allowedFunctions: ReadonlySet<string> = new Set(
  [operators, numbers, texts, times, nested, json, others, aggregates].flat().map((name) => name.toLowerCase()),
);

/** Functions that stand where a table may. */
export const allowedTableFunctions: ReadonlySet<string> = new Set(
  words(
    'unnest generate_series range json_each json_tree duckdb_functions duckdb_keywords duckdb_types icu_calendar_names pg_timezone_names',
  ),
);

/** Why the others are not allowed. A name that ends with `*` stands for all that begin so. */
export const excludedFunctions: Readonly<Record<string, string>> = {
  nextval: 'changes a sequence',
  currval: 'reads a sequence',
  setseed: 'changes the session',
  write_log: 'writes the log',
  sleep_ms: 'holds a process for nothing',
  pg_sleep: 'holds a process for nothing',
  getvariable: 'reads the session',
  current_setting: 'shows folders of the server',
  current_query: 'reads the session',
  current_query_id: 'reads the session',
  current_connection_id: 'reads the session',
  current_transaction_id: 'reads the session',
  txid_current: 'reads the session',
  json_serialize_sql: 'hides SQL from the guard',
  json_deserialize_sql: 'hides SQL from the guard',
  json_serialize_plan: 'plans SQL that the guard has not seen',
  json_execute_serialized_sql: 'runs SQL that the guard has not seen',
  query: 'runs SQL that the guard has not seen',
  query_table: 'reads a table or file by a name that the guard has not seen',
  histogram_values: 'reads a table or file by a name that the guard has not seen',
  'read_*': 'reads files',
  'parquet_*': 'reads files',
  sniff_csv: 'reads files',
  glob: 'lists files',
  sql_auto_complete: 'lists files',
  seq_scan: 'reads memory by address',
  'arrow_scan*': 'reads memory by address',
  which_secret: 'shows secrets',
  duckdb_secrets: 'shows secrets',
  duckdb_secret_types: 'shows the server',
  duckdb_settings: 'shows the server',
  duckdb_profiling_settings: 'shows the server',
  'duckdb_logs*': "shows other people's statements",
  duckdb_log_contexts: "shows other people's statements",
  parse_duckdb_log_message: 'belongs to the log',
  truncate_duckdb_logs: 'changes the server',
  duckdb_views: 'shows folders of the server',
  duckdb_tables: 'shows the server',
  duckdb_columns: 'shows the server: use DESCRIBE or information_schema.columns',
  duckdb_schemas: 'shows the server',
  duckdb_databases: 'shows the server',
  duckdb_variables: 'reads the session',
  duckdb_prepared_statements: 'reads the session',
  duckdb_temporary_files: 'shows folders of the server',
  duckdb_external_file_cache: 'shows folders of the server',
  duckdb_memory: 'shows the server',
  duckdb_extensions: 'shows the server',
  duckdb_approx_database_count: 'shows the server',
  duckdb_connection_count: 'shows the server',
  duckdb_constraints: 'shows the server',
  duckdb_coordinate_systems: 'shows the server',
  duckdb_dependencies: 'shows the server',
  duckdb_indexes: 'shows the server',
  duckdb_optimizers: 'shows the server',
  duckdb_sequences: 'shows the server',
  duckdb_table_sample: 'reads a table by a name that the guard has not seen',
  'pragma_*': 'shows the server',
  get_block_size: 'shows the server',
  checkpoint: 'changes the server',
  force_checkpoint: 'changes the server',
  'enable_*': 'changes the server',
  'disable_*': 'changes the server',
  check_peg_parser: 'belongs to the parser',
  pg_get_viewdef: 'shows folders of the server',
  pg_get_constraintdef: 'shows the server',
  'pg_*': 'catalogue functions are answered on the wire door, by PostgreSQL',
  'has_*': 'catalogue functions are answered on the wire door, by PostgreSQL',
  format_pg_type: 'catalogue functions are answered on the wire door, by PostgreSQL',
  format_type: 'catalogue functions are answered on the wire door, by PostgreSQL',
  map_to_pg_oid: 'catalogue functions are answered on the wire door, by PostgreSQL',
  'inet_*': 'shows the server',
  stats: 'shows the inside of the engine',
  vector_type: 'shows the inside of the engine',
  create_sort_key: 'shows the inside of the engine',
  combine: 'takes the inside of an aggregate',
  finalize: 'takes the inside of an aggregate',
  variant_bytes_to_variant: 'takes the inside of a value',
  variant_to_parquet_variant: 'takes the inside of a value',
  '__internal_*': 'belongs to the optimizer',
  'icu_collate_*': 'write COLLATE instead',
  repeat_row: 'nobody asked for it yet',
  summary: 'write SUMMARIZE instead',
  test_all_types: 'made for testing the engine',
  test_vector_types: 'made for testing the engine',
};

/** Table functions that share their name with an allowed scalar one. */
export const excludedTableFunctions: Readonly<Record<string, string>> = {
  histogram: excludedFunctions['histogram_values'] ?? '',
  repeat: excludedFunctions['repeat_row'] ?? '',
};

/** Why a function is not allowed, or undefined where we do not know it at all. */
export function whyExcluded(name: string): string | undefined {
  const exact = excludedFunctions[name];
  if (exact !== undefined && Object.hasOwn(excludedFunctions, name)) return exact;
  const prefix = Object.keys(excludedFunctions).find((key) => key.endsWith('*') && name.startsWith(key.slice(0, -1)));
  return prefix === undefined ? undefined : excludedFunctions[prefix];
}
