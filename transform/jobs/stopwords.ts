/**
 * Words that say nothing of an event: the commonest of the languages that crisis posts came in, and the network's own.
 */
export const stopwords: readonly string[] = [
  ...new Set(
    `
the and for you are this that with from have has had was were will would can could not but all any they them their
there then than what when where who why how his her she him our your out get got just like now about more one into
over been being also its it's i'm don't can't didn't you're it’s i’m don’t can’t some only very too after before
because still should may might much many most other i've we're they're that's here via amp via rt new day today http
https www com que los las del una uno por para con como más pero sus este esta esto hay son fue ser está están han muy
también sin sobre todo todos nos ese esa porque cuando donde desde hasta hoy ahora ante tras não mais mas foi são está
como para com uma por dos das nos nas seu sua isso esse essa tem muito quando também pela pelo ainda les des une est
pas que qui dans pour sur avec sont par plus vous nous ils elle mais ont aux ces cette été être fait tout tous comme
der die das und ist nicht ein eine mit von den dem auf für auch sich wir ich sie als bei aus wie noch nach haben wird
oder zum zur che non per una con sono della delle del dei gli alla anche come più questo questa nel nella hanno essere
stato ang mga sa na ng at ay ko po si ni lang din rin ito kung para pero yan yung yang dan di ini itu untuk dengan
dari pada tidak akan ada как что это для все его они или при уже так был была было есть еще
`
      .split(/\s+/)
      .filter((word) => word.length >= 3),
  ),
];
