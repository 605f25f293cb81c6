import { storeNamespace } from '#core/contract/tables.ts';
import { constancy, filtersOn } from './guard/filters.ts';
import { allowedFunctions, allowedTableFunctions, excludedTableFunctions, whyExcluded } from './guard/functions.ts';
import { isObject, type Json, type JsonObject, listOf, locationOf, objectOf, textOf } from './guard/tree.ts';
import { Refusal, type TableUse, type Travel, type Verdict } from './guard/verdict.ts';

/** The tables that may be asked, in lower case. */
export interface Lake {
  /** Schemas in the order in which a bare name is looked for. */
  readonly schemas: readonly string[];
  has(schema: string, name: string): boolean;
  /** Names to suggest to somebody who mistyped. */
  readonly names: readonly string[];
}

/**
 * Judges a statement by DuckDB's own parse tree. An allow-list throughout: kinds of nodes, tables, table functions and
 * functions; what is not known is refused. Throws a `Refusal` that says what is allowed, with the place where known.
 */
export function judge(statement: JsonObject, lake: Lake): Verdict {
  const guard: Guard = { lake, tables: [], introspects: false };
  try {
    visit(statement['node'] ?? null, { guard, names: new Set(), select: undefined });
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal('the statement is nested too deeply to be looked through');
    throw error;
  }
  return { tables: guard.tables, introspects: guard.introspects };
}

interface Guard {
  readonly lake: Lake;
  readonly tables: TableUse[];
  introspects: boolean;
}

interface Scope {
  readonly guard: Guard;
  /** Names of common table expressions that are visible here, in lower case. */
  readonly names: ReadonlySet<string>;
  /** The SELECT whose FROM clause we are in. */
  readonly select: JsonObject | undefined;
}

function visit(node: Json | undefined, scope: Scope): void {
  if (Array.isArray(node)) {
    for (const item of node) visit(item, scope);
    return;
  }
  if (!isObject(node)) return;
  const kind = textOf(node, 'class') || textOf(node, 'type');
  const known =
    node['class'] === undefined
      ? node['type'] === undefined || isObject(node['type']) || plainKinds.has(kind)
      : expressionClasses.has(kind);
  if (!known)
    throw new Refusal(`${kind} is not something the guard knows`, { location: locationOf(node), hint: allowedHint });
  const rule = rules[kind];
  if (rule === undefined) visitMembers(node, scope);
  else rule(node, scope);
}

function visitMembers(node: JsonObject, scope: Scope, except: readonly string[] = []): void {
  for (const [key, value] of Object.entries(node)) {
    if (!except.includes(key)) visit(value, scope);
  }
}

const allowedHint =
  'Allowed are SELECT with all its clauses, WITH, VALUES, TABLE, FROM, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, ' +
  'SHOW TABLES and EXPLAIN over the tables of schemas lake and store.';

/** Expressions, by the class DuckDB gives them. */
const expressionClasses = new Set([
  'BETWEEN',
  'CASE',
  'CAST',
  'COLLATE',
  'COLUMN_REF',
  'COMPARISON',
  'CONJUNCTION',
  'CONSTANT',
  'DEFAULT',
  'FUNCTION',
  'LAMBDA',
  'LAMBDA_REF',
  'OPERATOR',
  'PARAMETER',
  'POSITIONAL_REFERENCE',
  'STAR',
  'SUBQUERY',
  'TYPE',
  'WINDOW',
]);

/** Everything else that has a kind: query nodes, what stands in FROM, modifiers, orders, types. */
const plainKinds = new Set([
  'SELECT_NODE',
  'SET_OPERATION_NODE',
  'RECURSIVE_CTE_NODE',
  'CTE_NODE',
  'BASE_TABLE',
  'SUBQUERY',
  'JOIN',
  'TABLE_FUNCTION',
  'EXPRESSION_LIST',
  'EMPTY',
  'PIVOT',
  'SHOW_REF',
  'LIMIT_MODIFIER',
  'LIMIT_PERCENT_MODIFIER',
  'ORDER_MODIFIER',
  'DISTINCT_MODIFIER',
  'ASCENDING',
  'DESCENDING',
  'ORDER_DEFAULT',
  'DECIMAL_TYPE_INFO',
  'LIST_TYPE_INFO',
  'STRUCT_TYPE_INFO',
  'ARRAY_TYPE_INFO',
  'ENUM_TYPE_INFO',
  'STRING_TYPE_INFO',
  'GENERIC_TYPE_INFO',
  'UNBOUND_TYPE_INFO',
  'USER_TYPE_INFO',
  'ANY_TYPE_INFO',
  'INTEGER_LITERAL_TYPE_INFO',
  'GEO_TYPE_INFO',
]);

type Rule = (node: JsonObject, scope: Scope) => void;

const rules: Readonly<Record<string, Rule>> = {
  SELECT_NODE: selectNode,
  SET_OPERATION_NODE: (node, scope) =>
    visitMembers(node, { ...withNames(node, scope), select: undefined }, ['cte_map']),
  RECURSIVE_CTE_NODE: recursiveNode,
  CTE_NODE: (node, scope) => {
    const outer = { ...withNames(node, scope), select: undefined };
    visit(node['query'], outer);
    visitMembers(node, named(outer, textOf(node, 'cte_name')), ['query', 'cte_map']);
  },
  BASE_TABLE: baseTable,
  TABLE_FUNCTION: tableFunction,
  SHOW_REF: showRef,
  FUNCTION: scalarFunction,
  WINDOW: scalarFunction,
};

function selectNode(node: JsonObject, scope: Scope): void {
  const inner = withNames(node, scope);
  visit(node['from_table'], { ...inner, select: node });
  visitMembers(node, { ...inner, select: undefined }, ['from_table', 'cte_map']);
}

function recursiveNode(node: JsonObject, scope: Scope): void {
  const outer = { ...withNames(node, scope), select: undefined };
  visit(node['left'], outer);
  visitMembers(node, named(outer, textOf(node, 'cte_name')), ['left', 'cte_map']);
}

/** Looks through the WITH clause of a node and gives the scope in which its names are known. */
function withNames(node: JsonObject, scope: Scope): Scope {
  const map = objectOf(node, 'cte_map');
  if (map === undefined) return scope;
  let inner: Scope = { ...scope, select: undefined };
  for (const entry of listOf(map, 'map').filter(isObject)) {
    const name = textOf(entry, 'key');
    visit(entry['value'], inner);
    inner = named(inner, name);
  }
  return inner;
}

function named(scope: Scope, name: string): Scope {
  // A name that looks like a file must never count as known: where we were mistaken about its scope, DuckDB would open
  // the file.
  if (looksLikeFile(name)) {
    throw new Refusal(`${name} cannot be the name of a common table expression`, {
      hint: 'Give it a name without dots, slashes and stars.',
    });
  }
  return { ...scope, names: new Set([...scope.names, name.toLowerCase()]) };
}

function looksLikeFile(name: string): boolean {
  return /[./\\:*?[\]{}]/.test(name);
}

const shownSchemas = new Set(['tables', 'columns', 'schemata']);

function baseTable(node: JsonObject, scope: Scope): void {
  const name = textOf(node, 'table_name');
  const schema = textOf(node, 'schema_name').toLowerCase();
  const database = textOf(node, 'catalog_name').toLowerCase();
  const location = locationOf(node);
  const key = name.toLowerCase();
  if (scope.names.has(key) && database === '' && (schema === '' || schema === 'recurring'))
    return visitMembers(node, scope);
  if (looksLikeFile(name) || looksLikeFile(schema)) {
    throw new Refusal(`files cannot be read: ${schema === '' ? name : `${schema}.${name}`}`, {
      location,
      hint: tablesHint(scope),
    });
  }
  if (schema === 'information_schema' && shownSchemas.has(key) && database === '') {
    scope.guard.introspects = true;
    return visitMembers(node, scope);
  }
  const { lake } = scope.guard;
  const found =
    schema === '' && database === ''
      ? lake.schemas.find((candidate) => lake.has(candidate, key))
      : lake.schemas.includes(schema) && lake.has(schema, key) && ['', 'memory', 'lake'].includes(database)
        ? schema
        : undefined;
  if (found === undefined) throw unknownTable(node, scope);
  const alias = textOf(node, 'alias');
  const travel = travelOf(node);
  scope.guard.tables.push({
    schema: found,
    name: key,
    database,
    location,
    alias: (alias || name).toLowerCase(),
    hasAlias: alias !== '',
    ...(travel === undefined ? {} : { travel }),
    filters: scope.select === undefined ? [] : filtersOn(scope.select, node),
  });
  visitMembers(node, scope);
}

function unknownTable(node: JsonObject, scope: Scope): Refusal {
  const schema = textOf(node, 'schema_name');
  const said = [textOf(node, 'catalog_name'), schema, textOf(node, 'table_name')]
    .filter((part) => part !== '')
    .join('.');
  const location = locationOf(node);
  if (['pg_catalog', 'information_schema'].includes(schema.toLowerCase())) {
    return new Refusal(`${said} cannot be asked here`, {
      location,
      hint: 'Use information_schema.tables, information_schema.columns, SHOW TABLES or DESCRIBE; the wire door answers pg_catalog.',
    });
  }
  if (schema.toLowerCase() === storeNamespace && !scope.guard.lake.schemas.includes(storeNamespace))
    return storeRefusal(location);
  return new Refusal(`there is no table ${said}`, { location, sqlstate: '42P01', hint: tablesHint(scope) });
}

/** Tables as they are hold what must be forgotten until the next rewrite: only some may look there. */
function storeRefusal(location?: number): Refusal {
  return new Refusal(`schema ${storeNamespace} is for administrators`, {
    location,
    hint: 'Schema lake has the same tables, without what must be forgotten.',
  });
}

function tablesHint({ guard }: Scope): string {
  return `The tables are ${guard.lake.names.join(', ')}.`;
}

function travelOf(node: JsonObject): Travel | undefined {
  const clause = objectOf(node, 'at_clause');
  if (clause === undefined) return undefined;
  const unit = textOf(clause, 'unit').toUpperCase();
  const expression = clause['expr'];
  if ((unit !== 'VERSION' && unit !== 'TIMESTAMP') || constancy(expression) === undefined || !isObject(expression)) {
    throw new Refusal('AT wants VERSION => a snapshot id or TIMESTAMP => an instant, as a constant', {
      location: locationOf(node),
    });
  }
  return { unit, expression };
}

function tableFunction(node: JsonObject, scope: Scope): void {
  const call = objectOf(node, 'function');
  // The function itself is judged by the list of table functions, its arguments like any expression.
  if (call === undefined || textOf(call, 'class') !== 'FUNCTION') {
    throw new Refusal('this table function is not allowed', { location: locationOf(node) });
  }
  checkName(call, allowedTableFunctions, excludedTableFunctions, 'table function');
  visitMembers(call, { ...scope, select: undefined });
  visitMembers(node, scope, ['function']);
}

function scalarFunction(node: JsonObject, scope: Scope): void {
  checkName(node, allowedFunctions, {}, 'function');
  visitMembers(node, { ...scope, select: undefined });
}

function checkName(
  node: JsonObject,
  allowed: ReadonlySet<string>,
  reasons: Readonly<Record<string, string>>,
  what: string,
): void {
  const name = textOf(node, 'function_name').toLowerCase();
  const home = `${textOf(node, 'catalog')}.${textOf(node, 'schema')}`.toLowerCase();
  // `text.lower()` looks like schema text: DuckDB takes what is no schema for a column. The name decides, since there
  // are no functions but the built-in ones and our macros, which are harmless, whatever stands before it.
  if (what === 'function' && allowed.has(name)) return;
  const builtIn = ['.', '.main', '.pg_catalog', 'system.main', 'system.'].includes(home);
  if (builtIn && allowed.has(name)) return;
  const why = Object.hasOwn(reasons, name) ? reasons[name] : whyExcluded(name);
  throw new Refusal(`the ${what} ${name} is not allowed${why === undefined ? '' : `: it ${verb(why)}`}`, {
    location: locationOf(node),
    hint:
      what === 'function'
        ? 'Functions that compute are allowed; duckdb_functions() lists what the engine has.'
        : `Table functions that are allowed: ${[...allowedTableFunctions].join(', ')}. ${allowedHint}`,
    ...(why === undefined && builtIn ? { sqlstate: '42883' } : {}),
  });
}

// Reasons that are advice stand alone, the others complete a sentence.
function verb(reason: string): string {
  return /^(reads|runs|hides|shows|changes|writes|lists|holds|plans|takes|belongs)\b/.test(reason)
    ? reason
    : `is left out (${reason})`;
}

function showRef(node: JsonObject, scope: Scope): void {
  const kind = textOf(node, 'show_type');
  if (kind === 'DESCRIBE' || kind === 'SUMMARY') {
    if (objectOf(node, 'query') === undefined) throw new Refusal('say which table or SELECT to describe');
    return visitMembers(node, { ...scope, select: undefined });
  }
  const name = textOf(node, 'table_name').replaceAll('"', '').toLowerCase();
  const schema = textOf(node, 'schema_name').toLowerCase();
  const fine =
    kind === 'SHOW_UNQUALIFIED'
      ? ['tables', '__show_tables_expanded', 'schemas'].includes(name)
      : kind === 'SHOW_FROM' && scope.guard.lake.schemas.includes(schema) && textOf(node, 'catalog_name') === '';
  if (kind === 'SHOW_FROM' && schema === storeNamespace && !fine) throw storeRefusal();
  if (!fine)
    throw new Refusal(`SHOW ${name.toUpperCase()} is not allowed`, {
      hint: 'SHOW TABLES, SHOW ALL TABLES and SHOW TABLES FROM lake are.',
    });
  scope.guard.introspects = true;
}
