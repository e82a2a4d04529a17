import { Token } from '@lumino/coreutils';

/** Where code is inserted. */
export type Place = 'cursor' | 'below' | 'replace';

/** Puts code into what the person has open; nothing is ever run or marked trusted. */
export interface IInserter {
  /**
   * Insert code into the notebook, console or file that the person is at.
   *
   * Where there is none, the person is told so and offered a new notebook; where it is not for
   * Python, the person is asked first.
   *
   * @param code - Python source.
   * @param place - at the cursor, in a new cell below, or in place of the cell; the person's
   * setting where it is left out.
   * @returns whether the code was inserted.
   */
  insert(code: string, place?: Place): Promise<boolean>;
}

/** Other extensions insert through the same door as ours. */
export const IInserter = new Token<IInserter>(
  'gorilla-jupyter:IInserter',
  'Inserts Python code into the notebook, console or file that the person is at.'
);
