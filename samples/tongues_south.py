"""Spanish, Italian and Portuguese."""
# ruff: noqa: E501

from samples.tongue import tongue

SPANISH = tongue(
    "es",
    sentences="""
    {time}, {subj} [quieren|deben|pueden] {inf} {place}, {tail}.
    {subj} [prefieren|esperan|saben] {inf}, [porque|ya que] {subj} [quieren|deben] {inf} {time}.
    En {town} se [habla|sueña] [a menudo|a veces] con {un}, {tail}.
    «[Queremos|Hay que] {inf} {place}», [dice|explica] {hero}, «{tail}».
    [Desde|Hacia] {year} [hay|existe] {un} {place}, y {subj} [pueden|deben] {inf}.
    {hero} [cuenta|cree] que {subj} [van a|logran] {inf} {time}, {tail}.
    [Unos|Casi] {hundreds} vecinos de {town2} [buscan|tienen] {un}, [pero|aunque] {subj} [prefieren|quieren] {inf}.
    [Quien busca|Para encontrar] {un} {place} [hay que|se debe] {inf} {time}; {tail}.
    [Entre|En el camino entre] {town} y {town2}, {subj} [suelen|intentan] {inf} con {un}.
    [La señora|El señor] {other} [guarda|conoce] {un} desde hace {tens} años y [quiere|debe] {inf} {place}.
    [El precio|El número] [subió|bajó] un {percent} por ciento, {tail}, [así que|por eso] {subj} [deben|van a] {inf}.
    [Sin|Con] {un}, {town} [sería|parece] [otro pueblo|un lugar aparte], pues {subj} [quieren|saben] {inf}.
    """,
    titles="""
    {un} en {town}
    Por qué {subj} quieren {inf}
    {hero}, {un} y {un}
    {time}, cerca de {town2}
    """,
    comments="""
    ¡Gracias por el artículo! Nosotros también vamos a {inf} {time}.
    No estoy de acuerdo, {tail}.
    ¿Se puede ver {un} en {town2}?
    """,
    time="""muy de mañana|después de la vendimia|a finales del otoño|cada domingo|antes de las heladas|este año
    poco antes del mediodía|con buen tiempo|la próxima primavera|tras una larga pausa|por tercera vez
    los días de lluvia|durante las vacaciones|antes de Navidad""",
    subj="""los vecinos|los viejos hortelanos|muchas familias|los niños de la escuela|dos hermanas|los apicultores
    algunos comerciantes|los miembros del club|los jóvenes del barrio|tres carpinteros|los visitantes
    ciertos maestros|los campesinos del valle|los amigos de la biblioteca""",
    inf="""podar los setos|salvar manzanas antiguas|construir un puente de madera|arreglar el tejado del granero
    limpiar la fuente|cocinar sopa para todos|escribir la historia del pueblo|poner bancos nuevos
    recoger basura junto al arroyo|hornear pan de leña|fundar un coro|reparar bicicletas
    imprimir un calendario|raspar el musgo del empedrado|plantar árboles jóvenes|caminar con los abuelos
    tocar las campanas|preparar una fiesta pequeña|teñir e hilar lana|desviar la acequia
    hablar de las normas con calma|cosechar la miel|levantar los muros|guardar patatas en el sótano""",
    place="""detrás del molino|al borde del bosque|en la plaza del mercado|en el jardín del cura|bajo el tilo
    junto a la estación|en la antigua escuela|en la orilla|al lado de la ermita|en el prado|en el patio|en lo alto de la cuesta""",
    un="""un viejo cerezo|una casa de postigos verdes|una cesta de peras|un pequeño taller|un trozo de lino
    una memoria compartida|una tarde tranquila|una rueda de agua|un tarro de miel|una colección de mapas
    un camino estrecho|una comida común|una escalera rota|un cobertizo abierto""",
    tail="""aunque llueva|si bien falta el dinero|para que nada se pierda|como se hacía antes|porque el invierno llegará
    sin hacer demasiadas preguntas|mientras alcancen las fuerzas|lo que no gusta a todos|con mucha paciencia
    si aguantan las herramientas|pero más despacio|siempre que haya café|hasta que anochezca
    para sorpresa de la ciudad|con una sonrisa|lo mejor posible""",
    firsts="Álvaro|Begoña|Ceferino|Dolores|Elena|Fermín|Inés|Joaquín|Lucía|Martín|Nuria|Úrsula",
    lasts="Aldecoa|Barrientos|Carvajal|Echeverri|Fontán|Garmendia|Ibáñez|Llorente|Monteagudo|Peñalba|Quiroga|Zurbano",
    towns="""Aldeaquemada del Río|Bustoviejo|Campofrío|Espinareda|Fuentelmar|Hontanares|Losacino|Matarrubia
    Navalpino|Olmedillo|Peñascal|Robleda|Sotoverde|Torrealta|Valdelagua|Villanevada""",
)

ITALIAN = tongue(
    "it",
    sentences="""
    {time}, {subj} [vogliono|devono|possono] {inf} {place}, {tail}.
    {subj} [preferiscono|sperano di|sanno] {inf}, [perché|poiché] {subj} [vogliono|devono] {inf} {time}.
    A {town} si [parla|discute] [spesso|qualche volta] di {un}, {tail}.
    «[Vogliamo|Bisogna] {inf} {place}», [dice|spiega] {hero}, «{tail}».
    [Dal|Verso il] {year} [c'è|si trova] {un} {place}, e {subj} [possono|devono] {inf}.
    {hero} [racconta|crede] che {subj} [vogliano|possano] {inf} {time}, {tail}.
    [Circa|Quasi] {hundreds} abitanti di {town2} [cercano|hanno] {un}, [ma|però] {subj} [preferiscono|vogliono] {inf}.
    [Chi cerca|Per trovare] {un} {place} [bisogna|si deve] {inf} {time}; {tail}.
    [Tra|Sulla strada tra] {town} e {town2}, {subj} [provano a|amano] {inf} con {un}.
    [La signora|Il signor] {other} [custodisce|conosce] {un} da {tens} anni e [vuole|deve] {inf} {place}.
    [Il prezzo|Il numero] è [salito|sceso] del {percent} per cento, {tail}, [quindi|così] {subj} [devono|possono] {inf}.
    [Senza|Con] {un}, {town} [sarebbe|rimane] [un altro paese|un luogo a parte], perché {subj} [vogliono|sanno] {inf}.
    """,
    titles="""
    {un} a {town}
    Perché {subj} vogliono {inf}
    {hero}, {un} e {un}
    {time}, vicino a {town2}
    """,
    comments="""
    Grazie per l'articolo! Anche noi vogliamo {inf} {time}.
    Non sono d'accordo, {tail}.
    Si può vedere {un} anche a {town2}?
    """,
    time="""di buon mattino|dopo la vendemmia|alla fine dell'autunno|ogni domenica|prima del gelo|quest'anno
    poco prima di mezzogiorno|con il bel tempo|la prossima primavera|dopo una lunga pausa|per la terza volta
    nei giorni di pioggia|durante le vacanze|prima di Natale""",
    subj="""i vicini|i vecchi ortolani|molte famiglie|i bambini della scuola|due sorelle|gli apicoltori
    alcuni mercanti|i soci del circolo|i giovani del quartiere|tre falegnami|gli ospiti|certi maestri
    i contadini della valle|gli amici della biblioteca""",
    inf="""potare le siepi|salvare le mele antiche|costruire un ponte di legno|rifare il tetto del fienile
    pulire la fontana|cucinare la zuppa per tutti|scrivere la storia del paese|mettere nuove panchine
    raccogliere rifiuti lungo il torrente|cuocere il pane a legna|fondare un coro|riparare biciclette
    stampare un calendario|grattare il muschio dal selciato|piantare giovani alberi|camminare con i nonni
    suonare le campane|preparare una piccola festa|tingere e filare la lana|deviare il canale
    discutere le regole con calma|raccogliere il miele|rialzare i muri|conservare le patate in cantina""",
    place="""dietro il mulino|ai margini del bosco|sulla piazza del mercato|nell'orto del parroco|sotto il tiglio
    accanto alla stazione|nella vecchia scuola|sulla riva|vicino alla cappella|nel prato|nel cortile|in cima alla salita""",
    un="""un vecchio ciliegio|una casa dalle persiane verdi|un cesto di pere|una piccola bottega|un pezzo di lino
    una memoria condivisa|un pomeriggio tranquillo|una ruota ad acqua|un vasetto di miele|una raccolta di mappe
    un sentiero stretto|un pranzo comune|una scala rotta|un capanno aperto""",
    tail="""anche se piove|benché manchi il denaro|perché nulla vada perduto|come si usava un tempo|dato che l'inverno verrà
    senza troppe domande|finché bastano le forze|cosa che non piace a tutti|con molta pazienza
    se gli attrezzi reggono|ma più lentamente|purché ci sia il caffè|fino a quando fa buio
    con stupore della città|con un sorriso|nel miglior modo possibile""",
    firsts="Agnese|Bruno|Caterina|Donato|Ersilia|Fabrizio|Ginevra|Lorenzo|Mirella|Nicolò|Ornella|Teodoro",
    lasts="Albanesi|Bertocchi|Cavallari|Delmonte|Fiorentini|Guidotti|Landucci|Marchetti|Orsolini|Pellegrin|Salvadori|Zanotti",
    towns="""Acquarossa|Borgofreddo|Castelpiano|Collefiorito|Fontelunga|Gravellara|Montebruno|Ortovecchio
    Pievescura|Roccalta|Sassonero|Torrebianca|Vallegrande|Vignamare|Villafosca|Zovello""",
)

PORTUGUESE = tongue(
    "pt",
    sentences="""
    {time}, {subj} [querem|devem|podem] {inf} {place}, {tail}.
    {subj} [preferem|esperam|sabem] {inf}, [porque|já que] {subj} [querem|devem] {inf} {time}.
    Em {town} [fala-se|sonha-se] [muitas vezes|às vezes] com {um}, {tail}.
    «[Queremos|É preciso] {inf} {place}», [diz|explica] {hero}, «{tail}».
    [Desde|Por volta de] {year} [há|existe] {um} {place}, e {subj} [podem|devem] {inf}.
    {hero} [conta|acha] que {subj} [vão|conseguem] {inf} {time}, {tail}.
    [Cerca de|Quase] {hundreds} moradores de {town2} [procuram|têm] {um}, [mas|porém] {subj} [preferem|querem] {inf}.
    [Quem procura|Para encontrar] {um} {place} [é preciso|deve-se] {inf} {time}; {tail}.
    [Entre|No caminho entre] {town} e {town2}, {subj} [costumam|tentam] {inf} com {um}.
    [A senhora|O senhor] {other} [guarda|conhece] {um} há {tens} anos e [quer|deve] {inf} {place}.
    [O preço|O número] [subiu|desceu] {percent} por cento, {tail}, [por isso|então] {subj} [devem|vão] {inf}.
    [Sem|Com] {um}, {town} [seria|parece] [outra aldeia|um lugar à parte], pois {subj} [querem|sabem] {inf}.
    """,
    titles="""
    {um} em {town}
    Por que {subj} querem {inf}
    {hero}, {um} e {um}
    {time}, perto de {town2}
    """,
    comments="""
    Obrigado pelo artigo! Nós também vamos {inf} {time}.
    Não concordo, {tail}.
    Dá para ver {um} em {town2}?
    """,
    time="""de manhã cedo|depois da vindima|no fim do outono|todos os domingos|antes das geadas|neste ano
    pouco antes do meio-dia|com bom tempo|na próxima primavera|após uma longa pausa|pela terceira vez
    nos dias de chuva|durante as férias|antes do Natal""",
    subj="""os vizinhos|os velhos hortelãos|muitas famílias|as crianças da escola|duas irmãs|os apicultores
    alguns comerciantes|os membros do clube|os jovens do bairro|três carpinteiros|os visitantes
    certos professores|os lavradores do vale|os amigos da biblioteca""",
    inf="""podar as sebes|salvar maçãs antigas|construir uma ponte de madeira|refazer o telhado do celeiro
    limpar a fonte|cozinhar sopa para todos|escrever a história da aldeia|colocar bancos novos
    recolher o lixo do ribeiro|cozer pão no forno a lenha|fundar um coro|consertar bicicletas
    imprimir um calendário|raspar o musgo da calçada|plantar árvores jovens|caminhar com os avós
    tocar os sinos|preparar uma pequena festa|tingir e fiar a lã|desviar a levada
    conversar sobre as regras com calma|colher o mel|levantar os muros|guardar batatas na adega""",
    place="""atrás do moinho|à beira da floresta|na praça do mercado|no jardim do padre|debaixo da tília
    junto à estação|na antiga escola|na margem|ao lado da capela|no prado|no pátio|no alto da ladeira""",
    um="""uma velha cerejeira|uma casa de portadas verdes|um cesto de peras|uma pequena oficina|um pedaço de linho
    uma memória comum|uma tarde tranquila|uma roda de água|um frasco de mel|uma coleção de mapas
    um caminho estreito|uma refeição em conjunto|uma escada partida|um barracão aberto""",
    tail="""mesmo com chuva|embora falte dinheiro|para que nada se perca|como se fazia antigamente|pois o inverno virá
    sem muitas perguntas|enquanto houver forças|o que não agrada a todos|com muita paciência
    se as ferramentas aguentarem|só que mais devagar|desde que haja café|até ao anoitecer
    para espanto da cidade|com um sorriso|da melhor maneira possível""",
    firsts="Aurélio|Benedita|Conceição|Duarte|Eulália|Fernão|Graça|Inácio|Joana|Leonor|Simão|Tomás",
    lasts="Alvarenga|Brandão|Carvalhal|Figueiró|Gouveia|Lourenço|Magalhães|Noronha|Pestana|Queirós|Sepúlveda|Vasconcelos",
    towns="""Aldeia Velha|Cabeço Alto|Fontainhas|Lagoa Seca|Moinhos do Vale|Outeiro Grande|Penedo Branco
    Ponte Nova|Quintela|Ribeira Fria|Santa Marinha|Souto Maior|Travanca|Vale de Mel|Vilar do Monte|Vinhal""",
)

SOUTH = (SPANISH, ITALIAN, PORTUGUESE)
