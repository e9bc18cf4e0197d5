//! Correct text that no rule may touch, and damage that must be undone.

/// Text of many languages, trades and habits, one on each line; white space at its ends is not part of it.
pub(super) const CORRECT: &str = "
Καλημέρα κόσμε
Η Αθήνα είναι η πρωτεύουσα της Ελλάδας
ΑΓΓΕΛΟΣ ΣΙΚΕΛΙΑΝΟΣ
«Ξεσκεπάζω την ψυχοφθόρα βδελυγμία»
π = 3,14159 και Ω = 50 Ω
ο λόγος, του λόγου· τι;
τὸ πνεῦμα τῆς ἀληθείας
α-έλικα και β-πτυχωτή
ΧΡΟΝΟΣ… ΚΑΙ ΧΩΡΟΣ
Μ’ αρέσει ο ήλιος
Tiếng Việt có dấu
Cà phê sữa đá
Nguyễn Văn Ánh
Đà Nẵng và Huế
Phở bò tái chín…”
ĐÂY LÀ CHỮ HOA
Ở đâu? – Ở nhà!
Ngày 5 tháng 3 năm 2024
“Trăm năm trong cõi người ta”
quê hương â, ă, ê, ô, ơ, ư, đ
Buorre beaivi, mo manná?
ÁŠŠU JA ČÁHPPES
Sámegiella lea čáppa giella
GÁVPOGIS LEAT ÁŽŽI JA EADNI
Mun orun Kárášjogas
Guovdageainnu suohkan
Čáhci ja Áhkku
DÁŊGU, ŊÁRGA, ŦEAHKKA
Bures, mu namma lea Áile
Õnne ja edu kõigile!
Jäääärne töö-öö
Öö oli käes, Ääsmäel sadas
Šašlõkk ja žanr
ÜKSKÕIK, ÕUNAPUU ÕŽ
Hääyöaie riiuusõiduautoga
Äänekoski, Ähtäri, Öölanti
Šakki ja Žukov – ”Öljyä”
Hyvää yötä! Näkemiin…
Sää on pilvinen, +5 °C
Þórður Ægisson býr í Ísafirði
Ég á ekki öl, þú átt það
Höfnin í Þórshöfn er lítil
ÞAÐ VAR ÓÐINN
Føroyar eru vakrar oyggjar
Blåbærsyltetøy på brødet
Ærlig talt, Åse – øl?
Å, nei! Æ e i a æ å
Smörgåsbord på Öland
”Är du där?” sa Åke
»Åh«, sagde han, »æblet er rødt«
På Ærø er der øer
Å i åa ä e ö
Grüße aus Köln
Straße, Gruß und Spaß“
„Spaß“, sagte er, „muß sein“
„Äpfel“ und ‚Öl‘ sowie ›Ü‹
Er sagte: „Schluß…“
FÜR ÄRZTE – GRÖßE XXL
ÜBER ÖSTERREICH
Maß: 5 m², Preis: 3 €
Zürich → Genève ½ Tag
Ä, Ö und Ü sind Umlaute
»Müller & Söhne«
Café au lait, s’il vous plaît
« Où êtes-vous ? » — « À Paris. »
«À bientôt», dit-elle
LE CAFÉ», LUT-IL
L’ÉTÉ À L’ÎLE D’YEU
ÇA VA… À DEMAIN!
l’été, l’âme, l’œuvre
Un cœur à l’œil
—Été comme hiver…
— Ça, c’est sûr !
“Élève” et ‘Être’
passé…” dit-il
déjà vu®, cliché™, fiancée²
Noël à Besançon
garçon, façade, naïveté
créée, réélue, maïs, Haÿ-les-Roses
ÎLE-DE-FRANCE ŒUVRE
PRÉVU À 20 °C
Bœuf à 12 €/kg
où ça? là-bas…
SÃO PAULO
MAÇÃ» e “IRMÔ
A MAÇÃ… ERA BOA
AMANHÃ” DISSE
“Ô é uma letra, “Õ” também
IRMÃ® E ÓRFÃ™
Ã e Õ
ANÃ², ÍMÃ³
CAPITÃO, ALEMÃ, CHRISTÃ
não, coração, limões, à noite
É só você… é?
AÇÃO – REAÇÃO
MANHÃ’S
Às vezes, ó mãe!
PORÉM «CAFÉ» JÁ ERA
O preço é R$ 5,00 – 10 %
VOVÓ, VOVÔ… VOVÓ”
¿Qué tal? ¡Olé!
“¿Dónde está?” «¡Aquí!»
Él dijo: ‘¡No!’
EL NIÑO… ¡AÑO NUEVO!
pingüino, cigüeña, ñandú
1.ª edición, n.º 5
Años 70’s; 3º B
L’Hospitalet, cel·la, paral·lel
COL·LEGI «L’ÀGORA»
És això? Ça ve…
Perché è così? Perché sì.
«È vero», disse. È…
Città, più, già, però
CAFFÈ», TÈ…
L’UNITÀ È QUI
România: țară, șapte, în, când
ÎNTR-O ZI, SFÂNTUL… ÎNCEPUT
coborâ… urî… Mowlânâ…”
Bună ziua, ce mai faci, Ștefan?
Zażółć gęślą jaźń
ZAŻÓŁĆ GĘŚLĄ JAŹŃ
Łódź, Kraków, Gdańsk
„Żółw” i ‘Ścieżka’
ŁÓDŹ» – CZĘŚĆ”
Pójdź, kiń-że tę chmurność
Święty, źródło, ósmy
Příliš žluťoučký kůň úpěl ďábelské ódy
PŘÍLIŠ ŽLUŤOUČKÝ KŮŇ
píšťala, zvíťazil, houšť
Úžas! Účet „Škoda“
Ústí nad Labem – Děčín
Ľúbim ťa, Ľubica
mäkčeň, vôňa, ŕba
VÄČŠÍ ŽIVOT
Árvíztűrő tükörfúrógép
ÁRVÍZTŰRŐ TÜKÖRFÚRÓGÉP
„Őszi éj” – így szólt
Óbudán él Önnel
Šta je ovo? Čaša mleka
ĐORĐE ŠĆEPANOVIĆ
Žena, ćup, đak, čvor
Ąžuolas, Žiemgala, Šiauliai
Įlinkdama fechtuotojo špaga
ĖDĖ ŪDRĄ
Glāžšķūņa rūķīši
ĢĒRBONIS, ĶEKAVA, ŅĒMU
Il-Ħamrun, Ġgantija, Żebbuġ
İstanbul’da yağmur
ÇOĞUL İĞNE, ŞEKER
Iğdır’ın kış günü
ŞÜPHE… ÖĞÜT”
Türkçe’nin ğ’si
Âşık, hâlâ, kâğıt
AĞ» VE “BAĞ”
Âmir, Îsâ, Ûd
Bakı şəhəri, Azərbaycan
ŞƏKİ, GƏNCƏ
Ŵyneb yr ŷd
Tŷ, dŵr, gwên
Ó, a Sheáin, tá fáilte
ÉIRE, ÁTH LUAIN
Àrd-sgoil, Gàidhlig
Māori: kākāpō, whānau
Hawaiʻi, ʻŌlelo, Ka‘ū
Nǐ hǎo, lǜsè, nǚ’ér
Tōkyō, Ōsaka, Kyūshū
Eĥoŝanĝo ĉiuĵaŭde
Lëtzebuerg: Äerd, Bléi, Schnéi
Crêpe, fête, île, bûche
Привет, мир!
«СССР» – «РФ»
Рис, Рёбра, Сёмга
США… и Россия
Съешь ещё этих мягких булок
В 5°, С 10°
ВСЁ О «РИСЕ»
Річка, Сім, Рівне, Діти
У надії, енергії, дії, мрії
РІК, СІЯЧ, РІСТ
Їжак їсть яблука
Беларусь, ўзгорак, Яўген
Ћирилица, Џон, Њујорк
Љубав… главњ… равњање
РЈЕЧНИК, СЈЕВЕР
Ѓорѓи, Ќерка, ѕвезда
България е красива
Қазақстан, өнер, ұлы
Монгол Улс, өвөө
日本語のテキスト
吾輩は猫である。名前はまだ無い。
カタカナ・ひらがな
「こんにちは」、世界!
東京都〇〇区
価格:¥1,200(税込)
株式会社サンプル
ガギグゲゴ パピプペポ
中文测试,标点符号。
繁體中文:臺灣、龍
《红楼梦》——曹雪芹
北京……上海
价格:100元/kg
한국어 텍스트
안녕하세요, 세계!
가나다라 마바사
ㅋㅋㅋ 그래요
서울특별시 종로구
ภาษาไทย ทดสอบ
สวัสดีครับ ๒๕๖๗
เก่า ๆ น้ำ ก็ได้
ພາສາລາວ
ភាសាខ្មែរ
မြန်မာဘာသာ
བོད་སྐད་
हिन्दी में पाठ
नमस्ते दुनिया
क्षत्रिय, श्री, ज्ञान
বাংলা লেখা
தமிழ் எழுத்து
తెలుగు భాష
ಕನ್ನಡ ಭಾಷೆ
മലയാളം
සිංහල
ગુજરાતી
ਪੰਜਾਬੀ
मराठी – “उदाहरण”
مرحبا بالعالم
العربية: نصّ مُشكَّل
السعر ١٢٣ ر.س
می‌خواهم بروم
کتاب‌ها و خانه‌ای
فارسی، پرسش؟
اردو میں متن
ئۇيغۇرچە
שלום עולם
עברית: ״צה״ל״
שָׁלוֹם עֲלֵיכֶם
ייִדיש
ქართული ენა
Հայերեն լեզու
አማርኛ
ᏣᎳᎩ
ᐃᓄᒃᑎᑐᑦ
👋 Hello
✅ Done, ❌ failed, ⏳ waiting
⚠️ Warning: 🛡️
👨‍👩‍👧‍👦 family
❤️‍🔥 🏳️‍🌈 🏴‍☠️
👩🏽‍🚀 in space
🇩🇪 🇫🇷 🇯🇵
🏴󠁧󠁢󠁥󠁮󠁧󠁿 wins
1️⃣ 2️⃣ #️⃣ *️⃣
☕→💻→🐛
🤷‍♀️ ¯\\_(ツ)_/¯
(╯°□°)╯︵ ┻━┻
ʕ•ᴥ•ʔ
( ͡° ͜ʖ ͡°)
★☆ ♠♥♦♣ ♪♫
→ ← ↑ ↓ ⇒ ⇔
½ + ¼ = ¾
x² + y³ = z¹
√2, √π, √∞, 2√3
√(x² + y²) ≤ |x| + |y|
∑x² ≠ (∑x)²
∂f/∂x, ∫f(x)dx, ∏aᵢ
¬p ∨ q, ¬(a ∧ b)
a ≈ b, a ≠ b, a ≤ b ≥ c
±5 %, 3×10⁸ m/s
Δx·Δp ≥ ħ/2
∀x ∈ ℝ ∃y: x < y
α, β, γ, δ – ε
α-Helix und β-Faltblatt
µm, µs, μF, kΩ
37,5 °C, 98.6°F, 45° N
5′ 11″ tall
‰ und %
10⁻⁶ ≪ 1
ƒ(x) = x²
∆T = 5 K, ∆π
÷ 4 × 3
∞ – ∞
A ∩ B ≡ C
f∘g, a⊕b, ⟨x|y⟩
λ → µ → ν
€5, £3, ¥100, 20¢
5 € – 10 €
“£20”, ‘€5’, (¥7)
₹500, ₽100, ₿1, ₩1000
$100 – $200
USD → €; €→£
3,50€/St., 4£ each
Acme® Widget™ ©2024
© 2024 Acme — All rights reserved
“Acme”® and ‘Widget’™
§ 5 Abs. 2 BGB; ¶ 3
• one • two · three
† 1850, ‡ see below
Nº 5, 1ª, 2º
“quoted” ‘single’ „low“ ‚low‘
«guillemets» ‹single›
it’s, don’t, rock ’n’ roll
wait… what?…” he said
em—dash, en–dash, minus −5
…and so on…
“…”, ‘…’, «…»
– “Été” –
if (a && b) { return x << 2; }
printf(\"%d\\n\", x & 0xFF);
<p>Fish &amp; chips</p>
<a href=\"?a=1&amp;b=2\">link</a>
Use `&lt;` for <
text.replace(\"â€™\", \"'\")
'Ã©' is how it looks
s/[^\\x00-\\x7F]//g
AT&T, R&D, Q&A, B&B
https://example.org/?q=a&lang=de&copy=1
SELECT * FROM t WHERE a <> 'é';
C:\\Users\\Müller\\Ärzte
~/été/ça.txt
git commit -m \"naïve\"
[link](https://example.org/é) **bold** _it_
{\"key\": \"värde\", \"n\": 1}
#!/bin/sh -e
def f(x): return x**2
a = b if c else d;
let x: &str = \"ß\";
├── src
│ ├── été.rs
└── Ärger.md
┌──┬──┐
│é │ñ │
├──┼──┤
└──┴──┘
╔══╗║ü║╚══╝
████░░░░ 50 %
▀▄▀▄ █▌▐█
▁▂▃▄▅▆▇█
┬┐ └┴ ├┤
Ø 5 mm, Ø²
Å, nm; 1 Å = 0,1 nm
Ångström, Åbo, Ærø
Ð og Þ, ð og þ
Ñ… ¿ñ?
Ü… Ö… Ä…
É…” È…” À…
ê, î, ô, û
à la carte, à 5 €
é. è. à.
ÀÉÎÕÜ àéîõü
ÿ, Ÿ, œ, Œ, æ, Æ
naïf, Zoë, coöperatie
Dvořák, Čapek, Škvorecký
Beyoncé®, Häagen-Dazs®
Citroën™ Škoda®
Jürgen “Jürg” Müller
Łukasz ‘Łuki’ Żak
François «Franck» Élie
Renée’s, André’s
SÉAMUS Ó’NÉILL
O’Neill, D’Arcy
Crème brûlée – 5,50 €
Mötley Crüe, Motörhead
Spın̈al Tap
Æthelred þe Unræd
ſ, ß, ẞ
fi fl ligature
1–2, a—b, x‑y
№ 5 «Ё»
I ♥ NY
H₂O, CO₂, x₁
ⁿ, ⁱ, ª, º
½″ × ¾″
12′ 30″ E
";

/// What was seen, and what it was.
pub(super) const DAMAGED: &[(&str, &str)] = &[
    ("Ã©tÃ©", "été"),
    ("voilÃ\u{A0} la", "voilà la"),
    ("Ã\u{A0} la carte", "à la carte"),
    ("CAFÃ‰ Ã€ L’ÃŽLE", "CAFÉ À L’ÎLE"),
    ("MAÃ‡ÃƒS", "MAÇÃS"),
    ("5Â\u{A0}km", "5\u{A0}km"),
    ("20Â°C", "20°C"),
    ("Â£20 or Â€20", "£20 or Â€20"),
    ("fÃ¼r Â\u{81}", "für Â\u{81}"),
    ("Â© 2024 AcmeÂ®", "© 2024 Acme®"),
    ("â€œquotedâ€\u{9D}", "“quoted”"),
    ("waitâ€¦", "wait…"),
    ("1â€“2", "1–2"),
    ("â‚¬20", "€20"),
    ("Acmeâ„¢", "Acme™"),
    ("StraÃŸe", "Straße"),
    ("Ã„rzte fÃ¼r Ã–sterreich", "Ärzte für Österreich"),
    ("Ã\u{81}rbol", "Árbol"),
    ("RazÃ³n", "Razón"),
    ("SÃ£o Paulo", "São Paulo"),
    ("MÃ¼ller â€“ SÃ¶hne", "Müller – Söhne"),
    ("Å‚Ã³dÅº", "łódź"),
    ("PÅ™Ã\u{AD}liÅ¡", "Příliš"),
    ("ÐŸÑ€Ð¸Ð²ÐµÑ‚, Ð¼Ð¸Ñ€", "Привет, мир"),
    ("ÎšÎ±Î»Î·Î¼Î\u{AD}ÏÎ±", "ÎšÎ±Î»Î·Î¼Î\u{AD}ÏÎ±"),
    ("æ—¥æœ¬èªž", "日本語"),
    ("10 Î¼m, it’s Î±-helix", "10 μm, it’s α-helix"),
    ("ðŸ˜€ hi", "\u{1F600} hi"),
    ("ğŸ˜€ selam", "\u{1F600} selam"),
    ("ï»¿text", "text"),
    ("Ã¢â‚¬â„¢s", "’s"),
    ("cafÃƒÂ©", "café"),
    ("donÃ¢Â\u{80}Â\u{99}t", "don’t"),
    ("it‚Äôs", "it’s"),
    ("‚Äúquote‚Äù", "“quote”"),
    ("dash ‚Äî here", "dash — here"),
    ("wait‚Ä¶", "wait…"),
    ("sch√∂n, M√ºller, Stra√üe", "schön, Müller, Straße"),
    ("√Öland och √Ñlv", "Åland och Älv"),
    ("buenos d√≠as, a√±o", "buenos días, año"),
    ("o√π √™tes-vous", "où êtes-vous"),
    ("20¬∞C", "20°C"),
    ("¬£20, ¬©2024", "£20, ©2024"),
    ("‚ö†Ô∏è note", "⚠\u{FE0F} note"),
    ("\u{F8FF}üöÄ go", "\u{1F680} go"),
    ("caf├⌐", "café"),
    ("ΓÇ£quotedΓÇ¥", "“quoted”"),
    ("itΓÇÖs", "it’s"),
    ("caf├®", "café"),
    ("M├╝ller", "Müller"),
    ("ÔÇ£quotedÔÇØ", "“quoted”"),
    ("zaĹĽĂłĹ‚Ä‡", "zażółć"),
    ("itâ€™s zażółć", "it’s zażółć"),
    ("a â€ b", "a â€ b"),
    ("â€œquotedâ€ itâ€™s", "“quotedâ€ it’s"),
    ("cafГ©", "café"),
    ("РџСЂРёРІРµС‚", "Привет"),
    ("itвЂ™s", "it’s"),
    ("good ’ and bad â€™ and é", "good ’ and bad ’ and é"),
];

/// Cells that prove an encoding for a column, for each of them.
pub(super) const PROOF: &[&str] = &[
    "itâ€™s cafÃ© naÃ¯ve âœ… ðŸ’¡",
    "it‚Äôs caf√© na√Øve ‚úÖ \u{F8FF}üí°",
    "itвЂ™s cafГ© naГЇve вњ… рџ’Ў",
    "ΓÇÖs caf├⌐ na├»ve Γ£à",
    "ÔÇÖs caf├® na├»ve Ô£à",
    "zaĹĽĂłĹ‚Ä‡ gÄ™Ĺ›lÄ… jaĹşĹ„",
    "ğŸ˜€ itâ€™s GÃ¼neÅŸ",
    "it\u{E2}\u{80}\u{99}s caf\u{C3}\u{A9} \u{E2}\u{9C}\u{85}",
];
