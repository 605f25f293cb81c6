// Jest runs tests in a vm context with built-ins of its own, so `error instanceof Error` is false for errors that Node's
// own modules throw (fs, net, URL, AbortSignal). This environment lets the context's built-ins accept the outer ones too.
const { TestEnvironment } = require('jest-environment-node');

const shared = ['Error', 'TypeError', 'RangeError', 'SyntaxError', 'Array', 'Object', 'Map', 'Set', 'Date', 'RegExp',
  'Promise', 'Uint8Array', 'ArrayBuffer', 'Function'];

module.exports = class WatershedEnvironment extends TestEnvironment {
  async setup() {
    await super.setup();
    const inner = this.context;
    for (const name of shared) {
      const outerType = globalThis[name];
      const innerType = require('node:vm').runInContext(name, inner);
      if (outerType === innerType) continue;
      const own = Function.prototype[Symbol.hasInstance];
      Object.defineProperty(innerType, Symbol.hasInstance, {
        value(value) {
          return own.call(this, value) || (this === innerType && value instanceof outerType);
        },
        configurable: true,
      });
    }
  }
};
