import { isObject, type Json, type JsonObject, listOf, objectOf, textOf } from './tree.ts';
import type { Comparison } from './verdict.ts';

/**
 * What the WHERE clause of a SELECT says of one table in its FROM, as far as it is a plain comparison with a constant:
 * files whose bounds exclude it need not be read. Whatever is doubtful is left out, which only costs time.
 */
export function filtersOn(select: JsonObject, table: JsonObject): Comparison[] {
  const from = objectOf(select, 'from_table');
  const where = objectOf(select, 'where_clause');
  if (from === undefined || where === undefined || objectOf(table, 'sample') !== undefined || select['sample'] != null)
    return [];
  const alone = from === table;
  if (!alone && !prunable(from, table)) return [];
  const alias = (textOf(table, 'alias') || textOf(table, 'table_name')).toLowerCase();
  const found: Comparison[] = [];
  for (const condition of conjuncts(where)) found.push(...comparisonsOf(condition, alias, alone));
  return found;
}

/** Whether leaving out rows that the WHERE clause refuses cannot change which rows of other tables are joined. */
function prunable(from: JsonObject, table: JsonObject): boolean {
  if (from === table) return true;
  if (textOf(from, 'type') !== 'JOIN') return false;
  // ASOF takes the nearest row and POSITIONAL the next: there a row that is left out makes another one match.
  if (!['', 'REGULAR', 'CROSS', 'NATURAL'].includes(textOf(from, 'ref_type'))) return false;
  if (!['', 'INNER', 'LEFT', 'RIGHT', 'OUTER', 'FULL'].includes(textOf(from, 'join_type'))) return false;
  return ['left', 'right'].some((side) => {
    const child = objectOf(from, side);
    return child !== undefined && prunable(child, table);
  });
}

function conjuncts(expression: JsonObject): JsonObject[] {
  if (textOf(expression, 'type') !== 'CONJUNCTION_AND') return [expression];
  return listOf(expression, 'children').filter(isObject).flatMap(conjuncts);
}

const operators: ReadonlyMap<string, Comparison['operator']> = new Map([
  ['COMPARE_EQUAL', '='],
  ['COMPARE_LESSTHAN', '<'],
  ['COMPARE_LESSTHANOREQUALTO', '<='],
  ['COMPARE_GREATERTHAN', '>'],
  ['COMPARE_GREATERTHANOREQUALTO', '>='],
]);
const mirrored = { '=': '=', '<': '>', '<=': '>=', '>': '<', '>=': '<=', in: 'in' } as const;

function comparisonsOf(condition: JsonObject, alias: string, alone: boolean): Comparison[] {
  const column = (node: Json | undefined): string | undefined => columnName(node, alias, alone);
  switch (textOf(condition, 'class')) {
    case 'COMPARISON': {
      const operator = operators.get(textOf(condition, 'type'));
      const { left, right } = condition;
      if (operator === undefined) return [];
      const [leftColumn, rightColumn] = [column(left), column(right)];
      if (leftColumn !== undefined && isUsable(operator, right))
        return [{ column: leftColumn, operator, values: [right] }];
      if (rightColumn !== undefined && isUsable(mirrored[operator], left)) {
        return [{ column: rightColumn, operator: mirrored[operator], values: [left] }];
      }
      return [];
    }
    case 'BETWEEN': {
      const name = column(condition['input']);
      const { lower, upper } = condition;
      if (name === undefined) return [];
      return [
        ...(isUsable('>=', lower) ? [{ column: name, operator: '>=' as const, values: [lower] }] : []),
        ...(isUsable('<=', upper) ? [{ column: name, operator: '<=' as const, values: [upper] }] : []),
      ];
    }
    case 'OPERATOR': {
      const [first, ...rest] = listOf(condition, 'children');
      const name = column(first);
      if (textOf(condition, 'type') !== 'COMPARE_IN' || name === undefined) return [];
      const values = rest.filter((value) => isUsable('in', value)).filter(isObject);
      return values.length === rest.length && rest.length > 0 ? [{ column: name, operator: 'in', values }] : [];
    }
    default:
      return [];
  }
}

/** A column of the table by its name alone (where it is the only table) or qualified with the alias. */
function columnName(node: Json | undefined, alias: string, alone: boolean): string | undefined {
  if (!isObject(node) || textOf(node, 'class') !== 'COLUMN_REF') return undefined;
  const names = listOf(node, 'column_names')
    .filter((name) => typeof name === 'string')
    .map((name) => name.toLowerCase());
  if (names.length === 1 && alone) return names[0];
  return names.length === 2 && names[0] === alias ? names[1] : undefined;
}

const clockFunctions = new Set([
  'now',
  'get_current_timestamp',
  'transaction_timestamp',
  'today',
  'current_date',
  'ago',
]);
const steadyFunctions = new Set([
  '+',
  '-',
  '*',
  'trunc',
  'to_years',
  'to_months',
  'to_weeks',
  'to_days',
  'to_hours',
  'to_minutes',
  'to_seconds',
  'to_milliseconds',
  'to_microseconds',
  'to_timestamp',
  'make_timestamptz',
  'make_timestamp',
  'make_date',
  'date_trunc',
]);

/**
 * How an expression without columns depends on the clock. `rising`: it only grows with time, so that what is computed
 * now is at most what the statement will compute a moment later. Undefined: it is no constant, or we cannot tell.
 */
export function constancy(node: Json | undefined): 'steady' | 'rising' | undefined {
  if (!isObject(node)) return undefined;
  switch (textOf(node, 'class')) {
    case 'CONSTANT':
    case 'PARAMETER':
      return 'steady';
    case 'CAST':
      return constancy(node['child']);
    case 'FUNCTION':
      return functionConstancy(textOf(node, 'function_name').toLowerCase(), listOf(node, 'children').map(constancy));
    default:
      return undefined;
  }
}

function functionConstancy(
  name: string,
  children: readonly ('steady' | 'rising' | undefined)[],
): 'steady' | 'rising' | undefined {
  if (children.includes(undefined)) return undefined;
  if (clockFunctions.has(name)) return children.includes('rising') ? undefined : 'rising';
  if (!steadyFunctions.has(name)) return undefined;
  if (!children.includes('rising')) return 'steady';
  if (name === '+') return 'rising';
  const minuend = name === '-' && children.length === 2 && children[1] === 'steady';
  return minuend || (name === 'date_trunc' && children[0] === 'steady') ? 'rising' : undefined;
}

/**
 * Whether leaving out files by `column operator expression`, computed now, is right for the statement that runs a
 * moment later.
 */
function isUsable(operator: Comparison['operator'], node: Json | undefined): node is JsonObject {
  const how = constancy(node);
  return how === 'steady' || (how === 'rising' && (operator === '>' || operator === '>='));
}
