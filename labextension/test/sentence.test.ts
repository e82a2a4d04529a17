import { importedModules, indentation, sentenceAtCursor, sentenceOfCell } from '../src/sentence';

describe('sentenceAtCursor', () => {
  it.each([
    ['# gorilla: load a TTS model', 'load a TTS model'],
    ['x = 1\n    #Gorilla:  sum the rows ', 'sum the rows']
  ])('reads %j', (text, sentence) => {
    expect(sentenceAtCursor(text, text.length)).toBe(sentence);
  });

  it.each(['# load a TTS model', '# gorilla:', '# gorilla: load', 'x = "# gorilla: a b"'])(
    'finds none in %j',
    text => {
      expect(sentenceAtCursor(text, text.length)).toBeNull();
    }
  );

  it('finds none before the end of the line', () => {
    const text = '# gorilla: load a TTS model';
    expect(sentenceAtCursor(text, text.length - 5)).toBeNull();
  });

  it('reads the line of the cursor and no other', () => {
    const text = '# gorilla: load a model\nx = 1';
    expect(sentenceAtCursor(text, 23)).toBe('load a model');
    expect(sentenceAtCursor(text, text.length)).toBeNull();
  });
});

describe('sentenceOfCell', () => {
  it.each([
    ['load a TTS model', 'load a TTS model'],
    ['## Load a model', 'Load a model'],
    ['# gorilla: load a model', 'load a model'],
    ['%gorilla load a model', 'load a model'],
    ['%%gorilla\nload a model', 'load a model'],
    ['# read a file\n# and sum it', 'read a file\nand sum it'],
    ['  \n', '']
  ])('reads %j', (source, sentence) => {
    expect(sentenceOfCell(source)).toBe(sentence);
  });
});

test('the topmost modules that a notebook imports', () => {
  const sources = [
    '%matplotlib inline\nimport numpy as np, pandas as pd',
    'from sklearn.linear_model import Ridge\nif x:\n    import numpy.linalg',
    '# import nothing from here\nx = "from a import b"'
  ];
  expect(importedModules(sources)).toEqual(['numpy', 'pandas', 'sklearn']);
});

test('the indentation is that of the line of the cursor', () => {
  expect(indentation('if x:\n    # y', 12)).toBe('    ');
  expect(indentation('x', 1)).toBe('');
});
