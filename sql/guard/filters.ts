import { isList, isObject, type Json, type JsonObject, listOf, objectOf, textOf } from './tree.ts';
import type { Comparison } from './verdict.ts';

/**
 * What the WHERE clause of a SELECT says of one table in its FROM, as far as it is a plain comparison with a constant:
 * files whose bounds exclude it need not be read. Whatever is doubtful is left out, which only costs time.
 */
export function filtersOn(select: JsonObject, table: JsonObject): Comparison[] {
  const from = objectOf(select, 'from_table');
  const where = objectOf(select, 'where_clause');
  if (from === undefined || where === undefined || objectOf(table, 'sample') !== undefined || select['sample'] != null) return [];
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
  ['COMPARE_EQUAL', '='], ['COMPARE_LESSTHAN', '<'], ['COMPARE_LESSTHANOREQUALTO', '<='], ['COMPARE_GREATERTHAN', '>'],
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
      if (leftColumn !== undefined && isConstant(right)) return [{ column: leftColumn, operator, values: [right] }];
      if (rightColumn !== undefined && isConstant(left)) return [{ column: rightColumn, operator: mirrored[operator], values: [left] }];
      return [];
    }
    case 'BETWEEN': {
      const name = column(condition['input']);
      const { lower, upper } = condition;
      if (name === undefined) return [];
      return [
        ...(isConstant(lower) ? [{ column: name, operator: '>=' as const, values: [lower] }] : []),
        ...(isConstant(upper) ? [{ column: name, operator: '<=' as const, values: [upper] }] : []),
      ];
    }
    case 'OPERATOR': {
      const [first, ...rest] = listOf(condition, 'children');
      const name = column(first);
      if (textOf(condition, 'type') !== 'COMPARE_IN' || name === undefined) return [];
      const values = rest.filter(isConstant);
      return values.length === rest.length && rest.length > 0 ? [{ column: name, operator: 'in', values }] : [];
    }
    default:
      return [];
  }
}

/** A column of the table by its name alone (where it is the only table) or qualified with the alias. */
function columnName(node: Json | undefined, alias: string, alone: boolean): string | undefined {
  if (!isObject(node) || textOf(node, 'class') !== 'COLUMN_REF') return undefined;
  const names = listOf(node, 'column_names').filter((name) => typeof name === 'string').map((name) => name.toLowerCase());
  if (names.length === 1 && alone) return names[0];
  return names.length === 2 && names[0] === alias ? names[1] : undefined;
}

// Functions that give the same within one transaction. No date_trunc and the like: those are cheap to add when asked for.
const constantFunctions = new Set(['now', 'get_current_timestamp', 'transaction_timestamp', 'today', 'current_date', '+', '-', '*', 'trunc',
  'to_years', 'to_months', 'to_weeks', 'to_days', 'to_hours', 'to_minutes', 'to_seconds', 'to_milliseconds', 'to_microseconds',
  'to_timestamp', 'make_timestamptz', 'make_timestamp', 'make_date', 'epoch_ms', 'date_trunc', 'ago']);

/** Whether an expression is made of literals, parameters and functions of the clock alone. */
export function isConstant(node: Json | undefined): node is JsonObject {
  if (!isObject(node)) return false;
  switch (textOf(node, 'class')) {
    case 'CONSTANT':
    case 'PARAMETER':
      return true;
    case 'CAST':
      return isConstant(node['child']);
    case 'FUNCTION': {
      const children = node['children'];
      return constantFunctions.has(textOf(node, 'function_name').toLowerCase()) && textOf(node, 'schema') === ''
        && (children === undefined || isList(children) && children.every(isConstant));
    }
    default:
      return false;
  }
}
