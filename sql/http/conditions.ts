import Type from 'typebox';

const event = Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Id of the event; all where none is given' }));
const source = Type.Optional(Type.String({ minLength: 1, maxLength: 100 }));
const minutes = Type.Optional(Type.Number({ minimum: 1, maximum: 10_080 }));
const closed = { additionalProperties: false };

/** `Condition` of core/contract/condition.ts. */
export const ConditionBody = Type.Union([
  Type.Object({ kind: Type.Literal('burst'), event, minutes, times: Type.Optional(Type.Number({ exclusiveMinimum: 1, maximum: 1e6 })) }, closed),
  Type.Object({ kind: Type.Literal('stall'), event, source, minutes }, closed),
  Type.Object({ kind: Type.Literal('gap'), event, source }, closed),
  Type.Object({ kind: Type.Literal('posts'), event, above: Type.Number({ minimum: 0 }), minutes }, closed),
  Type.Object({ kind: Type.Literal('rows'), sql: Type.String({ minLength: 1, maxLength: 100_000, description: 'Holds while it returns a row' }) }, closed),
], { description: 'burst, stall, gap, posts or rows' });
