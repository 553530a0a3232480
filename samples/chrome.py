"""Everything around an article that a site repeats: menus, banners, footers, in nine languages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chrome:
    menu: tuple[str, ...]
    cookies: str
    accept: str
    footer: str
    related: str
    comments: str
    share: str
    newsletter: str
    by: str


def _chrome(menu: str, *rest: str) -> Chrome:
    return Chrome(tuple(menu.split("|")), *rest)


CHROME = {
    "en": _chrome(
        "Home|News|Guides|Places|Archive|Contact",
        "This site uses cookies to remember your settings. By going on you accept our use of them.",
        "Accept all",
        "Terms of use|Privacy policy|Imprint|All rights reserved.",
        "You may also like",
        "Comments",
        "Share this page",
        "Sign up for our newsletter and never miss a post.",
        "By",
    ),
    "de": _chrome(
        "Startseite|Aktuelles|Ratgeber|Orte|Archiv|Kontakt",
        "Diese Seite verwendet Cookies. Mit dem weiteren Besuch stimmen Sie ihrer Nutzung zu.",
        "Alle annehmen",
        "Nutzungsbedingungen|Datenschutz|Impressum|Alle Rechte vorbehalten.",
        "Das könnte Sie auch interessieren",
        "Kommentare",
        "Seite teilen",
        "Melden Sie sich für unseren Rundbrief an.",
        "Von",
    ),
    "fr": _chrome(
        "Accueil|Actualités|Guides|Lieux|Archives|Contact",
        "Ce site utilise des cookies. En poursuivant votre visite, vous acceptez leur usage.",
        "Tout accepter",
        "Conditions d'utilisation|Vie privée|Mentions légales|Tous droits réservés.",
        "À lire aussi",
        "Commentaires",
        "Partager cette page",
        "Abonnez-vous à notre lettre.",
        "Par",
    ),
    "es": _chrome(
        "Inicio|Noticias|Guías|Lugares|Archivo|Contacto",
        "Este sitio utiliza cookies. Si continúa, acepta su uso.",
        "Aceptar todo",
        "Condiciones de uso|Privacidad|Aviso legal|Todos los derechos reservados.",
        "También le puede interesar",
        "Comentarios",
        "Compartir esta página",
        "Suscríbase a nuestro boletín.",
        "Por",
    ),
    "it": _chrome(
        "Home|Notizie|Guide|Luoghi|Archivio|Contatti",
        "Questo sito usa i cookie. Proseguendo ne accetti l'utilizzo.",
        "Accetta tutto",
        "Condizioni d'uso|Privacy|Note legali|Tutti i diritti riservati.",
        "Leggi anche",
        "Commenti",
        "Condividi questa pagina",
        "Iscriviti alla nostra lettera.",
        "Di",
    ),
    "pt": _chrome(
        "Início|Notícias|Guias|Lugares|Arquivo|Contacto",
        "Este sítio usa cookies. Ao continuar, aceita a sua utilização.",
        "Aceitar tudo",
        "Termos de uso|Privacidade|Aviso legal|Todos os direitos reservados.",
        "Leia também",
        "Comentários",
        "Partilhar esta página",
        "Assine o nosso boletim.",
        "Por",
    ),
    "ru": _chrome(
        "Главная|Новости|Советы|Места|Архив|Контакты",
        "Этот сайт использует файлы cookie. Продолжая, вы соглашаетесь с этим.",
        "Принять все",
        "Условия использования|Конфиденциальность|О нас|Все права защищены.",
        "Читайте также",
        "Комментарии",
        "Поделиться",
        "Подпишитесь на нашу рассылку.",
        "Автор:",
    ),
    "zh": _chrome(
        "首页|新闻|指南|地方|存档|联系我们",
        "本网站使用Cookie。继续浏览即表示您同意。",
        "全部接受",
        "使用条款|隐私政策|关于我们|版权所有",
        "相关阅读",
        "评论",
        "分享本页",
        "订阅我们的通讯。",
        "作者：",
    ),
    "ja": _chrome(
        "ホーム|お知らせ|案内|場所|アーカイブ|お問い合わせ",
        "このサイトはクッキーを使用しています。続けると同意したことになります。",
        "すべて許可",
        "利用規約|プライバシー|会社概要|無断転載を禁じます",
        "関連記事",
        "コメント",
        "このページを共有",
        "お便りの購読はこちら。",
        "文：",
    ),
}
