"""German and French."""
# ruff: noqa: E501

from samples.tongue import tongue

GERMAN = tongue(
    "de",
    sentences="""
    {time} [wollen|müssen|können] {subj} {place} {inf}, {tail}.
    {subj} [möchten|sollen|dürfen] {time} {inf}, [weil|da] {subj} {inf} [wollen|müssen].
    In {town} [hat|sieht] man [gern|oft|selten] [Zeit für|einen Blick auf] {thing}, {tail}.
    „[Können|Sollen] wir {inf}?“, [fragt|lacht] {hero}. „[Nein|Natürlich], {tail}, und {time} [gibt es|kommt] {thing}.“
    [Seit {year}|Schon {year}] [liegt|steht] {place} {thing}, und {subj} [müssen|wollen] {inf}.
    {hero} [erzählt|erklärt], dass {subj} {time} {inf} [können|sollten], {tail}.
    [Etwa|Rund] {hundreds} Menschen [aus|in] {town2} [haben|brauchen] {thing}, [aber|doch] {subj} [wollen|können] {inf}.
    Wer {place} {thing} [sucht|braucht], [muss|kann] {time} {inf}; {tail}.
    [Irgendwo|Überall] zwischen {town} und {town2} [können|dürfen] {subj} {inf}, und {thing} [ist|bleibt] [dabei|wichtig].
    [Frau|Herr] {other} [besitzt|kennt] {thing} [seit {tens} Jahren|schon lange], und {time} [will|soll] [sie|er] {place} {inf}.
    [Der Preis|Die Zahl] [stieg|sank] um {percent} Prozent, {tail}, [und|doch] {subj} [mussten|wollten] {inf}.
    [Ohne|Durch] {thing} [wäre|ist] {town} [ein anderer Ort|kaum zu verstehen], denn {subj} [wollen|sollen] {inf}.
    """,
    titles="""
    {thing} in {town}
    Warum {subj} {inf} wollen
    {hero}: {thing} und {thing}
    {time} in {town2}
    """,
    comments="""
    Schöner Beitrag, danke! Auch wir wollen {time} {inf}.
    Das stimmt nicht ganz, {tail}.
    Gibt es {thing} auch in {town2}?
    """,
    time="""am frühen Morgen|nach der Ernte|im späten Herbst|an jedem Sonntag|vor dem ersten Frost|in diesem Jahr
    kurz vor Mittag|bei gutem Wetter|im nächsten Frühling|nach langer Pause|zum dritten Mal|an kalten Tagen
    während der Ferien|noch vor Weihnachten""",
    subj="""die Nachbarn|die alten Gärtner|viele Familien|die Kinder der Schule|zwei Schwestern|die Imker
    einige Händler|die Mitglieder des Vereins|die jungen Leute|drei Tischler|die Gäste|manche Lehrer
    die Bauern im Tal|die Freunde der Bibliothek""",
    inf="""die Hecken schneiden|alte Apfelsorten retten|eine Brücke aus Holz bauen|das Dach der Scheune decken
    den Brunnen reinigen|Suppe für alle kochen|die Geschichte des Dorfes aufschreiben|neue Bänke aufstellen
    am Fluss Müll sammeln|Brot im Steinofen backen|den Chor wieder gründen|Fahrräder reparieren
    einen Kalender drucken|das Moos vom Pflaster kratzen|junge Bäume pflanzen|mit den Enkeln wandern
    die Glocken läuten|ein kleines Fest vorbereiten|Wolle färben und spinnen|den Bach umleiten
    die Regeln in Ruhe besprechen|Honig schleudern|die Mauern ausbessern|im Keller Kartoffeln lagern""",
    place="""hinter der Mühle|am Rand des Waldes|auf dem Marktplatz|im Garten der Pfarrei|unter der Linde
    neben dem Bahnhof|in der alten Schule|am Ufer|bei der Kapelle|auf der Wiese|im Hof|oben am Hang""",
    thing="""eine alte Linde|das Haus mit den grünen Läden|ein Netz voller Birnen|die kleine Werkstatt
    ein Stück Leinen|das Gedächtnis des Dorfes|eine ruhige Stunde|das hölzerne Wasserrad|ein Glas Honig
    die Sammlung alter Karten|eine schmale Gasse|das gemeinsame Essen|eine Leiter ohne Sprosse|die offene Scheune""",
    tail="""auch wenn es regnet|obwohl das Geld knapp ist|damit nichts verloren geht|wie es früher üblich war
    denn der Winter kommt bestimmt|ohne lange zu fragen|solange die Kräfte reichen|was nicht jedem gefällt
    und das mit viel Geduld|falls das Werkzeug hält|nur eben langsamer|sofern jemand Kaffee mitbringt
    bis es dunkel wird|zum Erstaunen der Stadt|mit einem Lächeln|so gut es eben geht""",
    firsts="Anneliese|Birgit|Dieter|Elke|Friedrich|Gisela|Heinrich|Jürgen|Käthe|Lothar|Margarete|Uwe",
    lasts="Ackermann|Brandt|Dörfler|Eichner|Fährmann|Grün|Hübner|Jäger|Kästner|Lindner|Möller|Rößler",
    towns="""Altenbrück|Birkenau am See|Dornfelde|Eschenried|Föhrental|Grünhagen|Hohenmühl|Kaltenbach
    Lindenrode|Mühlstetten|Niederwies|Oberföhr|Rabenstein|Schönlinde|Tannengrund|Wiesenthal""",
)

FRENCH = tongue(
    "fr",
    sentences="""
    {time}, {subj} [veulent|doivent|peuvent] {inf} {place}, {tail}.
    {subj} [aiment|espèrent|savent] {inf}, [parce que|puisque] {subj} [veulent|doivent] {inf} {time}.
    À {town}, on [parle|rêve] [souvent|parfois] d'{un}, {tail}.
    « [Nous voulons|Il faut] {inf} {place} », [dit|explique] {hero}, « {tail} ».
    [Depuis|Vers] {year}, [il y a|on trouve] {un} {place}, et {subj} [peuvent|doivent] {inf}.
    {hero} [raconte|pense] que {subj} [vont|savent] {inf} {time}, {tail}.
    [Environ|Près de] {hundreds} personnes à {town2} [cherchent|possèdent] {un}, [mais|or] {subj} [préfèrent|veulent] {inf}.
    [Qui cherche|Pour trouver] {un} {place}, [il faut|on doit] {inf} {time} ; {tail}.
    [Entre|Sur la route entre] {town} et {town2}, {subj} [viennent|osent] {inf} avec {un}.
    [Madame|Monsieur] {other} [garde|connaît] {un} depuis {tens} ans et [veut|doit] {inf} {place}.
    [Le prix|Le nombre] a [augmenté|baissé] de {percent} pour cent, {tail}, [donc|alors] {subj} [doivent|vont] {inf}.
    [Sans|Avec] {un}, {town} [serait|reste] [un autre village|un lieu à part], car {subj} [aiment|savent] {inf}.
    """,
    titles="""
    {un} à {town}
    Pourquoi {subj} veulent {inf}
    {hero}, {un} et {un}
    {time}, du côté de {town2}
    """,
    comments="""
    Merci pour ce bel article ! Nous aussi, nous allons {inf} {time}.
    Je ne suis pas d'accord, {tail}.
    Peut-on voir {un} à {town2} ?
    """,
    time="""au petit matin|après les vendanges|à la fin de l'automne|chaque dimanche|avant les premières gelées
    cette année|un peu avant midi|par beau temps|au printemps prochain|après une longue pause
    pour la troisième fois|les jours de pluie|pendant les vacances|avant Noël""",
    subj="""les voisins|les vieux jardiniers|plusieurs familles|les enfants de l'école|deux sœurs|les apiculteurs
    quelques marchands|les membres du club|les jeunes du quartier|trois menuisiers|les visiteurs
    certains professeurs|les fermiers de la vallée|les amis de la bibliothèque""",
    inf="""tailler les haies|sauver de vieilles pommes|bâtir un pont de bois|refaire le toit de la grange
    nettoyer la fontaine|préparer une soupe pour tous|écrire l'histoire du village|installer des bancs
    ramasser les déchets du ruisseau|cuire le pain au four|fonder une chorale|réparer des vélos
    imprimer un calendrier|gratter la mousse des pavés|planter de jeunes arbres|marcher avec les anciens
    sonner les cloches|organiser une petite fête|teindre et filer la laine|détourner le canal
    discuter des règles en paix|récolter le miel|remonter les murs|ranger les bouteilles à la cave""",
    place="""derrière le moulin|au bord de la forêt|sur la place du marché|dans le jardin du curé|sous le tilleul
    près de la gare|dans l'ancienne école|sur la rive|à côté de la chapelle|dans le pré|dans la cour|en haut de la côte""",
    un="""un vieux cerisier|une maison aux volets verts|un panier de poires|un petit atelier|un morceau de lin
    une mémoire partagée|un après-midi calme|une roue à eau|un pot de miel|une collection de cartes
    un chemin étroit|un repas commun|une échelle cassée|un hangar ouvert""",
    tail="""même sous la pluie|bien que l'argent manque|pour que rien ne se perde|comme on faisait autrefois
    car l'hiver viendra|sans poser trop de questions|tant que les forces suffisent|ce qui ne plaît pas à tous
    avec beaucoup de patience|si les outils tiennent|mais plus lentement|pourvu que le café soit chaud
    jusqu'à la tombée de la nuit|à la surprise de la ville|avec le sourire|du mieux possible""",
    firsts="Amélie|Benoît|Cécile|Étienne|Françoise|Gérard|Hélène|Jérôme|Lucienne|Mathieu|Océane|René",
    lasts="Aubrac|Bellerive|Chênevert|Duprélan|Fontanelle|Garrigou|Lachaume|Montclair|Noiret|Peyrolles|Roussillac|Vergnaud",
    towns="""Aigremont|Beauchêne|Clairfont|Courbevallée|Fontblanche|Grandpré|Hautecombe|Lavergne-sur-Eau
    Malaval|Neuvéglise|Pierrelongue|Rochemaure|Saint-Aubier|Valfleury|Vieuxmoulin|Villebrune""",
)

WEST = (GERMAN, FRENCH)
